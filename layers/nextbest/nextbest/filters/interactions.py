"""The requested user's interactions, as far as filters see them: the newest 300 of each event type.

Source: docs/contracts/personalize.md, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.history import History
from nextbest.filters.columns import Mask

INTERACTION_WINDOW = 300

_BLANKS = str.maketrans(" -", "__")


def normalised_event_type(event_type: str) -> str:
    """``event_type`` in the form in which two spellings of it are equal (section 3.11).

    Case does not count, and a blank, a hyphen and an underscore are the same: ``Not Taken`` is ``NOT_TAKEN``.
    """
    return event_type.casefold().translate(_BLANKS)


@dataclass(frozen=True, slots=True)
class Interactions:
    """Asset ids by normalised event type, for one user."""

    assets: Mapping[str, frozenset[str]] = field(default_factory=dict)

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
        code_of: dict[str, int] = {}
        codes_by_name: dict[str, int] = {}
        for name in dict.fromkeys(map(itemgetter(0), actions)):
            codes_by_name[name] = code_of.setdefault(normalised_event_type(name), len(code_of))
        codes = np.fromiter(map(codes_by_name.__getitem__, map(itemgetter(0), actions)), np.intp, len(actions))
        event_codes = codes[action_index]
        past = np.fromiter(older, np.intp)
        assets: dict[str, frozenset[str]] = {}
        for event_type, code in code_of.items():
            events = action_index[event_codes == code]
            seen = set(events[-window:].tolist())
            if events.shape[0] < window:
                seen.update(past[codes[past] == code].tolist())
            if seen:
                assets[event_type] = frozenset([actions[place][1] for place in seen])
        return cls(assets)

    @classmethod
    def of(cls, history: History) -> Interactions:
        """The newest interactions of a history."""
        interactions = _of_histories.get(history)
        if interactions is None:
            older = history.older_index.tolist()
            if history.folded is not None:
                older += history.folded.index.tolist()
            interactions = cls.newest(history.actions, history.action_index, older=older)
            _of_histories[history] = interactions
        return interactions

    def mask(self, rows: Mapping[str, int], event_types: Iterable[str] | None = None) -> Mask:
        """Which catalogue rows the user has an interaction of these (normalised) event types with; None: of any."""
        mask = np.zeros(len(rows), np.bool_)
        for event_type in self.assets if event_types is None else event_types:
            of_assets = map(rows.get, self.assets.get(event_type, ()), repeat(-1))
            places = np.fromiter(of_assets, np.intp)
            mask[places[places >= 0]] = True
        return mask


_of_histories: WeakKeyDictionary[History, Interactions] = WeakKeyDictionary()
"""Of histories that somebody holds: a history never changes."""
