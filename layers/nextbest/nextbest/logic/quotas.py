"""The limits that a program has, and how far it has used them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nextbest.domain.events import MAX_LABELS
from nextbest.domain.history import WINDOW
from nextbest.domain.rebase_status import RUN_SECONDS
from nextbest.filters.bind import MAX_FIELDS_PER_DATASET_GROUP
from nextbest.logic.access_keys import MAX_KEYS_OF_A_PROGRAM
from nextbest.logic.assets import MAX_LABEL_WEIGHTS
from nextbest.logic.filters import MOST_FILTERS, filters_of
from nextbest.logic.inbox import MAX_FILE_BYTES
from nextbest.logic.training_plan import MAX_VERSIONS
from nextbest.logic.trainings import Training
from nextbest.store.base import ProgramState, Store


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit: what it is of, how much is used (None where that is not counted), and what happens beyond it."""

    name: str
    limit: float
    used: float | None
    beyond: str


def quotas_of(
    store: Store, state: ProgramState, trainings: Sequence[Training], *, requests_per_second: float
) -> list[Quota]:
    """The limits of a program. Costs two Queries; ``requests_per_second`` 0 is none."""
    incarnation = state.program.incarnation
    longest = max((training.seconds for training in trainings[:1] if training.seconds is not None), default=None)
    quotas = [
        Quota(
            "Access keys",
            MAX_KEYS_OF_A_PROGRAM,
            store.count_access_keys_of(incarnation),
            "A new key takes the place of revoked ones; where none is revoked, it is refused.",
        ),
        Quota(
            "Seconds of a rebase",
            RUN_SECONDS,
            longest,
            "A rebase that takes longer is ended, and the model before it serves on. The number is of the last one.",
        ),
        Quota(
            "Trainings of a solution that are listed",
            MAX_VERSIONS,
            _most_versions(trainings),
            "The oldest are no longer listed.",
        ),
        Quota("Filters", MOST_FILTERS, len(filters_of(store, incarnation)), "A new filter is refused."),
        Quota("Fields that all filters name together", MAX_FIELDS_PER_DATASET_GROUP, None, "A new filter is refused."),
        Quota("Weights of labels", MAX_LABEL_WEIGHTS, len(state.label_weights), "A new weight is refused."),
        Quota("Bytes of a file in the inbox", MAX_FILE_BYTES, None, "The file is refused as a whole, with a report."),
        Quota("Events of a user that are kept one by one", WINDOW, None, "Older ones count in sums by action."),
        Quota("Labels of an event", MAX_LABELS, None, "The event is refused."),
    ]
    if requests_per_second:
        quotas.append(
            Quota(
                "Requests a second",
                requests_per_second,
                None,
                "Requests beyond it are answered 429. Each environment of a function counts for itself.",
            )
        )
    return quotas


def _most_versions(trainings: Sequence[Training]) -> int:
    solutions = [training.solution for training in trainings]
    return max(map(solutions.count, set(solutions)), default=0)
