"""Programs: one tenant and one goal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, NewType

Incarnation = NewType("Incarnation", str)
"""One life of a program id: ``<program id>@<random>``. What outlives a request is stored and cached under it.

A program that is created again under the id of a deleted one has another incarnation, so nothing of the old one is ever
its own. Programs from before there were incarnations have one that equals their id. No program id contains an ``@``.
"""

DEFAULT_HORIZON_DAYS = 14
MAX_HORIZON_DAYS = 365
MAX_EVENT_TYPES, MAX_EVENT_TYPE_NAME_CHARACTERS = 100, 256
"""In each setting that names event types."""
MAX_REST_DAYS = 365
"""Of a rest, and of the days within which a rest rule counts."""
MAX_LIST_CAP = 100
"""As many actions as a list can have."""

_RANDOM_CHARACTERS = "abcdefghijklmnopqrstuvwxyz234567"


class EventTypeOrder(NamedTuple):
    """Actions of ``event_type`` are for those who did something of one of the types ``after``."""

    event_type: str
    after: tuple[str, ...]


class GoalEventType(NamedTuple):
    """An event type that the program is for, and what reaching it is worth."""

    event_type: str
    value: float


class RestRule(NamedTuple):
    """An action that met with ``after`` events of the types ``event_types`` within days, and was not taken, rests.

    Events count that have the action's asset and came since the user last took the action. It rests until ``rest_days``
    after the last of them. Actions of the types ``event_types`` themselves never rest by the rule; of the others those
    of ``for_event_types``, or all where that is empty.
    """

    event_types: tuple[str, ...]
    after: int
    within_days: int
    rest_days: int
    for_event_types: tuple[str, ...] = ()

    def is_for(self, event_type: str) -> bool:
        """Whether actions of this event type can rest by the rule."""
        if event_type in self.event_types:
            return False
        return not self.for_event_types or event_type in self.for_event_types


class ListCap(NamedTuple):
    """At most ``most`` actions of ``event_type`` in a list."""

    event_type: str
    most: int


@dataclass(frozen=True, slots=True)
class Program:
    """Settings of one program.

    ``half_life_days`` is ActionHub's ``event_relevance_decay``; ``horizon_days`` the window that growth weights are
    probabilities for; recommendations with a growth weight under ``action_weight_floor`` are left out. The report of a
    training compares learning from all users with learning from those with at least ``high_engagement_threshold``
    events. Without an ``incarnation`` given it is the program id. ``created_at`` is in seconds since 1970; 0 where it
    was not recorded.

    Three settings say which actions are candidates, and for whom; their events are evidence in any case. Actions of the
    types ``never_recommended`` are for nobody. Those of the types ``done_once`` are for users who did not do the same
    with that asset yet. ``event_type_order`` says what has to come before: every rule for a type has to hold.

    The contact policy keeps from a user what was shown too often: ``rest_rules`` say when an action rests, by the
    recent events of a history; ``most_per_list`` how many actions of an event type a list has at most.

    ``goal`` has the event types that the program is for. A rebase estimates what each action is worth for them.

    The answers with recommendations to ``decision_share`` (0..1) of the users are recorded. ``decision_key`` is the
    secret that hashes of users are derived from (``domain/decisions.py``); empty for programs from before there were
    any.

    ``unchanged_since`` is when a rebase began (seconds since 1970) after which nothing that it would learn from was
    seen to change; 0 where something did, or none began.
    """

    program_id: str
    program_name: str = ""
    description: str = ""
    half_life_days: int = 365
    high_engagement_threshold: int = 3
    action_weight_floor: float = 0.0
    horizon_days: int = DEFAULT_HORIZON_DAYS
    incarnation: Incarnation = Incarnation("")
    never_recommended: tuple[str, ...] = ()
    done_once: tuple[str, ...] = ()
    event_type_order: tuple[EventTypeOrder, ...] = ()
    goal: tuple[GoalEventType, ...] = ()
    created_at: float = 0.0
    rest_rules: tuple[RestRule, ...] = ()
    most_per_list: tuple[ListCap, ...] = ()
    decision_share: float = 1.0
    decision_key: bytes = field(default=b"", repr=False, compare=False)
    unchanged_since: float = field(default=0.0, repr=False, compare=False)

    def __post_init__(self) -> None:
        # JSON has lists. Most programs set none of these, and every request reads a program.
        for name, form in _FORMS:
            value = getattr(self, name)
            object.__setattr__(self, name, form(value) if value else ())
        if not self.incarnation:
            object.__setattr__(self, "incarnation", Incarnation(self.program_id))


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Names in their order, each once."""
    return tuple(dict.fromkeys(names))


def goal_event_types(goal: Iterable[tuple[str, float]]) -> tuple[GoalEventType, ...]:
    """The event types of a goal with the value of each."""
    return tuple(GoalEventType(event_type, float(value)) for event_type, value in goal)


def event_type_order(rules: Iterable[tuple[str, Iterable[str]]]) -> tuple[EventTypeOrder, ...]:
    """Rules in the form in which equal ones are equal."""
    return tuple(dict.fromkeys(EventTypeOrder(event_type, distinct(after)) for event_type, after in rules))


def rest_rules(rules: Iterable[Iterable[Any]]) -> tuple[RestRule, ...]:
    """Rules in the form in which equal ones are equal; each is given by the members of a ``RestRule``."""
    return tuple(dict.fromkeys(_rest_rule(*rule) for rule in rules))


def _rest_rule(
    event_types: Iterable[str], after: int, within_days: int, rest_days: int, for_event_types: Iterable[str] = ()
) -> RestRule:
    types, for_types = map(distinct, (event_types, for_event_types))
    return RestRule(types, int(after), int(within_days), int(rest_days), for_types)


def list_caps(caps: Iterable[tuple[str, int]]) -> tuple[ListCap, ...]:
    """Caps in the order of their event types; the last one of a type counts."""
    return tuple(ListCap(event_type, int(most)) for event_type, most in sorted(dict(caps).items()))


_FORMS: tuple[tuple[str, Callable[[Any], tuple[Any, ...]]], ...] = (
    ("never_recommended", distinct),
    ("done_once", distinct),
    ("event_type_order", event_type_order),
    ("rest_rules", rest_rules),
    ("most_per_list", list_caps),
    ("goal", goal_event_types),
)
"""What gives the settings that are lists the form in which equal ones are equal."""


def out_of_order(rules: Iterable[EventTypeOrder], done: Collection[str]) -> frozenset[str]:
    """The event types that are not for a user yet who did events of the types ``done``."""
    return frozenset(rule.event_type for rule in rules if not any(event_type in done for event_type in rule.after))


def new_incarnation(program_id: str, *, random: Random) -> Incarnation:
    """The incarnation of a program that is being created: 50 random bits tell it from all others of the id."""
    return Incarnation(f"{program_id}@{''.join(random.choices(_RANDOM_CHARACTERS, k=10))}")


def program_id_of(incarnation: Incarnation) -> str:
    """The id of the program that ``incarnation`` is a life of."""
    return incarnation.partition("@")[0]
