"""The requested user's interactions, as far as filters see them: the newest 300 of each event type.

Source: docs/contracts/personalize.md, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.history import History
from nextbest.filters.columns import Column

INTERACTION_WINDOW = 300

_BLANKS = str.maketrans(" -", "__")


def normalised_event_type(event_type: str) -> str:
    """``event_type`` in the form in which two spellings of it are equal (section 3.11).

    Case does not count, and a blank, a hyphen and an underscore are the same: ``Not Taken`` is ``NOT_TAKEN``.
    """
    return event_type.casefold().translate(_BLANKS)


@dataclass(frozen=True, slots=True)
class Interactions:
    """Normalised event types by asset id, for one user."""

    event_types: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def newest(
        cls,
        actions: Sequence[tuple[str, str]],
        action_index: NDArray[np.integer],
        *,
        older: Iterable[int] = (),
        window: int = INTERACTION_WINDOW,
    ) -> Interactions:
        """The newest ``window`` interactions of each event type.

        ``actions`` are (event type, asset id); ``action_index`` points into them, one entry per event, oldest first:
        the two arrays a ``History`` holds. ``older`` are actions of still older events whose times are no longer known
        one by one; they count for those event types whose window the known events do not fill.
        """
        normalised = {event_type: normalised_event_type(event_type) for event_type in {action[0] for action in actions}}
        types = [normalised[event_type] for event_type, _ in actions]
        code_of = {event_type: code for code, event_type in enumerate(dict.fromkeys(types))}
        codes = np.fromiter((code_of[event_type] for event_type in types), np.intp, len(types))
        event_codes = codes[action_index]
        seen: set[int] = set()
        for code in range(len(code_of)):
            seen.update(action_index[event_codes == code][-window:].tolist())
        events_of = np.bincount(event_codes, minlength=len(code_of)) if len(code_of) else np.zeros(0, np.intp)
        seen.update(action for action in older if events_of[codes[action]] < window)
        event_types: dict[str, set[str]] = {}
        for action in seen:
            event_types.setdefault(actions[action][1], set()).add(types[action])
        return cls({asset_id: frozenset(kinds) for asset_id, kinds in event_types.items()})

    @classmethod
    def of(cls, history: History) -> Interactions:
        """The newest interactions of a history."""
        older = set(history.older_index.tolist())
        if history.folded is not None:
            older.update(history.folded.index.tolist())
        return cls.newest(history.actions, history.action_index, older=older)

    def column(self, rows: Mapping[str, int]) -> Column:
        """The field EVENT_TYPE of every catalogue row: all event types the user has with it, several at once."""
        values: list[tuple[str, ...]] = [()]
        code_of: dict[frozenset[str], int] = {frozenset(): 0}
        codes = np.zeros(len(rows), np.int32)
        for asset_id, kinds in self.event_types.items():
            row = rows.get(asset_id)
            if row is not None:
                code = code_of.setdefault(kinds, len(values))
                if code == len(values):
                    values.append(tuple(kinds))
                codes[row] = code
        return Column(codes, values)
