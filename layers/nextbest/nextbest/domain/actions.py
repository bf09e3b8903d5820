"""Actions: what users take, and what is recommended."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, repeat
from typing import NamedTuple, overload


class Action(NamedTuple):
    """The pair (event type, asset). Equal to the plain tuple, so either can be a key."""

    event_type: str
    asset_id: str


class DistinctActions(Sequence[Action]):
    """Distinct actions, sorted. ``assets`` are the ids of their assets by event type, both sorted.

    An ``Action`` is made when it is asked for: a read of a thousand needs few of them, and as many small objects cost
    more to make, to look up and to collect than all else that is decoded.
    """

    __slots__ = ("_listed", "_starts", "assets", "event_types")

    def __init__(self, assets: Mapping[str, Sequence[str]]) -> None:
        """No event type of ``assets`` may be without any."""
        self.assets = assets
        self.event_types = tuple(assets)
        self._starts = tuple(accumulate(map(len, assets.values()), initial=0))
        self._listed: list[Action] | None = None

    @classmethod
    def of(cls, actions: Iterable[tuple[str, str]]) -> DistinctActions:
        """These actions, which are distinct and sorted."""
        assets: dict[str, list[str]] = {}
        for event_type, asset_id in actions:
            assets.setdefault(event_type, []).append(asset_id)
        return cls(assets)

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, place: int) -> Action: ...
    @overload
    def __getitem__(self, place: slice) -> list[Action]: ...
    def __getitem__(self, place: int | slice) -> Action | list[Action]:
        if isinstance(place, slice):
            return self._all()[place]
        if place < 0:
            place += len(self)
        if not 0 <= place < len(self):
            raise IndexError(place)
        number = bisect_right(self._starts, place) - 1
        event_type = self.event_types[number]
        return Action(event_type, self.assets[event_type][place - self._starts[number]])

    def __iter__(self) -> Iterator[Action]:
        return iter(self._all())

    def __contains__(self, action: object) -> bool:
        return isinstance(action, tuple) and self.place_of(action) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(tuple.__eq__, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"DistinctActions({self.assets!r})"

    def start_of(self, event_type: str) -> int:
        """The place of the first action of an event type, or where it would be."""
        return self._starts[bisect_left(self.event_types, event_type)]

    def place_of(self, action: tuple[str, str]) -> int | None:
        """The place of an action; None where it is not there."""
        event_type, asset_id = action
        of_type = self.assets.get(event_type, ())
        place = bisect_left(of_type, asset_id)
        is_there = place < len(of_type) and of_type[place] == asset_id
        return self.start_of(event_type) + place if is_there else None

    def _all(self) -> list[Action]:
        if self._listed is None:
            # As ``Action(event_type, asset_id)`` for each, without a call of Python's.
            of_types = (
                map(tuple.__new__, repeat(Action), zip(repeat(event_type), of_type))
                for event_type, of_type in self.assets.items()
            )
            self._listed = list(chain.from_iterable(of_types))
        return self._listed


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which actions one request is about; what is empty narrows nothing.

    ``event_types`` are all there are to be, ``exclude_event_types`` are left out. ``filter`` is the name of a filter of
    the program, or an expression; ``filter_values`` are the values of its parameters.
    """

    event_types: tuple[str, ...] = ()
    exclude_event_types: tuple[str, ...] = ()
    filter: str = ""
    filter_values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended action for one user.

    ``growth_weight`` is the calibrated probability (0..1) that the user takes the action within the program's horizon;
    ``base_weight`` the half-life sum of the user's own events with it (0 when never taken); ``score`` the uncalibrated
    model score, which orders the list.
    """

    event_type: str
    asset_id: str
    growth_weight: float
    base_weight: float
    score: float
