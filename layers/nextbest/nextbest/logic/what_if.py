"""What would be recommended if a user did something now: the event is added in memory, and not stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.events import Event
from nextbest.domain.history import History, HistoryEvent
from nextbest.errors import HistoryCorrupt, InvalidInput

Change = Literal["up", "down", "same", "new", "gone"]


@dataclass(frozen=True, slots=True)
class ChangedRecommendation:
    """An action in the list of now, in the one after the event, or in both; ``change`` is what it does in the list.

    ``before`` and ``after`` are None where it is not recommended at all; ``rank_before`` and ``rank_after`` are its
    places, from 1 and also beyond the list's end, and 0 then.
    """

    action: Action
    before: Recommendation | None
    after: Recommendation | None
    rank_before: int
    rank_after: int
    change: Change


def with_event(history: History, event: Event) -> History:
    """The history after one more event. Raises InvalidInput where it is older than what is summed up already."""
    try:
        return history.merge([HistoryEvent.of(event)])
    except HistoryCorrupt as error:
        raise InvalidInput(
            "Over a thousand events of this user lie in the future, so one of now cannot be added to them"
        ) from error


def changes(
    before: Sequence[Recommendation], after: Sequence[Recommendation], *, limit: int
) -> list[ChangedRecommendation]:
    """What is among the first ``limit`` of either answer: in the order of the one after, then what left it.

    Answers that reach beyond ``limit`` tell where it was before, and where it is then.
    """
    old = {Action(entry.event_type, entry.asset_id): (rank, entry) for rank, entry in enumerate(before, 1)}
    new = {Action(entry.event_type, entry.asset_id): (rank, entry) for rank, entry in enumerate(after, 1)}
    changed = []
    for action in dict.fromkeys([*list(new)[:limit], *list(old)[:limit]]):
        rank_before, entry_before = old.get(action, (0, None))
        rank_after, entry_after = new.get(action, (0, None))
        change = _change(rank_before, rank_after, limit)
        changed.append(ChangedRecommendation(action, entry_before, entry_after, rank_before, rank_after, change))
    return changed


def _change(rank_before: int, rank_after: int, limit: int) -> Change:
    if not 0 < rank_before <= limit:
        return "new"
    if not 0 < rank_after <= limit:
        return "gone"
    if rank_before == rank_after:
        return "same"
    return "up" if rank_after < rank_before else "down"
