"""Operations of Personalize that have no meaning for next-best-action, or none here: refused, with the reason.

Their lists are empty rather than refused: clean-up scripts walk over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nextbest.errors import InvalidInput
from nextbest.personalize.control.resources import PAGE, Call, Operation
from nextbest.personalize.protocol.shapes import Members

_BATCH = "Batch jobs are not supported by the recipe aws-next-best-action"  # as in AWS itself (§7.8)
_DOMAIN = "Recommenders belong to Domain dataset groups, which this service does not have"
_REASONS = {
    "BatchInferenceJob": _BATCH,
    "BatchSegmentJob": _BATCH,
    "Recommender": _DOMAIN,
    "MetricAttribution": "Metric attributions are not supported by this service",
    "DatasetExportJob": "Dataset exports are not supported by this service",
    "DataDeletionJob": "Data deletion jobs are not supported by this service; DELETE /users/{user_id} deletes a user",
}
_LISTS = {
    "ListBatchInferenceJobs": "batchInferenceJobs",
    "ListBatchSegmentJobs": "batchSegmentJobs",
    "ListRecommenders": "recommenders",
    "ListMetricAttributions": "metricAttributions",
    "ListMetricAttributionMetrics": "metrics",
    "ListDatasetExportJobs": "datasetExportJobs",
    "ListDataDeletionJobs": "dataDeletionJobs",
}
_VERBS = {
    "BatchInferenceJob": ("Create", "Describe"),
    "BatchSegmentJob": ("Create", "Describe"),
    "Recommender": ("Create", "Describe", "Update", "Delete", "Start", "Stop"),
    "MetricAttribution": ("Create", "Describe", "Update", "Delete"),
    "DatasetExportJob": ("Create", "Describe"),
    "DataDeletionJob": ("Create", "Describe"),
}


def _refuse(reason: str) -> Callable[[Call], Mapping[str, Any] | None]:
    def refuse(_call: Call) -> None:
        raise InvalidInput(reason)

    return refuse


def _nothing(key: str) -> Callable[[Call], Mapping[str, Any] | None]:
    return lambda _call: {key: []}


OPERATIONS = {
    **{
        f"{verb}{noun}": Operation(Members({}), _refuse(_REASONS[noun]))
        for noun, verbs in _VERBS.items()
        for verb in verbs
    },
    **{name: Operation(Members(PAGE), _nothing(key)) for name, key in _LISTS.items()},
}
