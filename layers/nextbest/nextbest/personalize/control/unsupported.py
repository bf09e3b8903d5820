"""Operations of Personalize that do not apply to next-best-action, or are not supported: refused, with the reason.

Their lists are empty rather than refused: clean-up scripts walk over all of them.
Source: docs/contracts/personalize.md, sections 2.4, 7.8 and 8.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nextbest.errors import InvalidInput
from nextbest.personalize.control.dataset_groups import group_narrowed_to
from nextbest.personalize.control.resources import ControlCall, Operation, narrowed_to, narrowing, page
from nextbest.personalize.control.solution_versions import find_version
from nextbest.personalize.protocol.arns import DATASET, METRIC_ATTRIBUTION, RECIPE_NAME

_BATCH = f"Batch jobs are not supported by the recipe {RECIPE_NAME}"  # as in AWS itself (section 7.8)
_DOMAIN = "Recommenders belong to Domain dataset groups, which this service does not have"
_REASONS = {
    "BatchInferenceJob": _BATCH,
    "BatchSegmentJob": _BATCH,
    "Recommender": _DOMAIN,
    "MetricAttribution": "Metric attributions are not supported by this service",
    "DatasetExportJob": "Dataset exports are not supported by this service",
    "DataDeletionJob": "Data deletion jobs are not supported by this service; its own API has DELETE /users/<id>",
}


def _check_version(call: ControlCall) -> None:
    if "solutionVersionArn" in call.request:
        with narrowing("solutionVersionArn"):
            find_version(call, "solutionVersionArn")


def _check_dataset(call: ControlCall) -> None:
    narrowed_to(call, DATASET, "datasetArn")


def _check_attribution(call: ControlCall) -> None:
    narrowed_to(call, METRIC_ATTRIBUTION, "metricAttributionArn")


# By operation: the key of the list, and what checks the resource that it may be narrowed to.
_LISTS: dict[str, tuple[str, Callable[[ControlCall], object]]] = {
    "ListBatchInferenceJobs": ("batchInferenceJobs", _check_version),
    "ListBatchSegmentJobs": ("batchSegmentJobs", _check_version),
    "ListRecommenders": ("recommenders", group_narrowed_to),
    "ListMetricAttributions": ("metricAttributions", group_narrowed_to),
    "ListMetricAttributionMetrics": (
        "metrics",
        _check_attribution,
    ),
    "ListDatasetExportJobs": ("datasetExportJobs", _check_dataset),
    "ListDataDeletionJobs": ("dataDeletionJobs", group_narrowed_to),
}
_VERBS = {
    "BatchInferenceJob": ("Create", "Describe"),
    "BatchSegmentJob": ("Create", "Describe"),
    "Recommender": ("Create", "Describe", "Update", "Delete", "Start", "Stop"),
    "MetricAttribution": ("Create", "Describe", "Update", "Delete"),
    "DatasetExportJob": ("Create", "Describe"),
    "DataDeletionJob": ("Create", "Describe"),
}


def _refuse(reason: str) -> Operation:
    def refuse(_call: ControlCall) -> None:
        raise InvalidInput(reason)

    return refuse


def _empty(key: str, check: Callable[[ControlCall], object]) -> Operation:
    def serve(call: ControlCall) -> Mapping[str, Any]:
        check(call)
        return page(call, iter(()), key, dict)

    return serve


OPERATIONS: dict[str, Operation] = {
    **{f"{verb}{noun}": _refuse(_REASONS[noun]) for noun, verbs in _VERBS.items() for verb in verbs},
    **{name: _empty(key, check) for name, (key, check) in _LISTS.items()},
}
