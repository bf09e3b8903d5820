"""A user's next actions as pages show them: the settings of the list, and every weight as a sum of its reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import quote

from nextbest.console.visits import Visit
from nextbest.domain.actions import Narrowing, Recommendation
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import MAX_USER_ID_CHARACTERS
from nextbest.domain.history import History
from nextbest.domain.ids import clean_id
from nextbest.errors import InvalidInput
from nextbest.filters.stored import bind_stored
from nextbest.logic.reasons import Reasoner
from nextbest.logic.recommendations import UNTRAINED, RecommendationList
from nextbest.scoring import Explanation, Model
from nextbest.scoring.memberships import RECOMMENDED_ACTIONS
from nextbest.store.base import FILTER, ProgramState, UserRead

DEFAULT_LIMIT = 10
MAX_LIMIT = RECOMMENDED_ACTIONS
_DISCOVERIES = "discoveries"
VALUE_PREFIX = "value."
"""What the names of fields for a filter's values begin with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a list of next actions is about: the parameters of GET /users/{user_id}/actions."""

    user_id: str
    limit: int = DEFAULT_LIMIT
    allow_repeats: bool = True
    narrowing: Narrowing = field(default_factory=Narrowing)

    @classmethod
    def of(cls, visit: Visit) -> Settings:
        """The settings in a page's query. Raises InvalidInput."""
        user_id = clean_id(visit.parameter("user_id"))
        if len(user_id) > MAX_USER_ID_CHARACTERS:
            raise InvalidInput(f"A user's id has at most {MAX_USER_ID_CHARACTERS} characters")
        limit = visit.parameter("limit") or str(DEFAULT_LIMIT)
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MAX_LIMIT):
            raise InvalidInput(f"How many actions: a whole number from 1 to {MAX_LIMIT}")
        values = {
            name.removeprefix(VALUE_PREFIX): value
            for name, value in visit.request.query
            if name.startswith(VALUE_PREFIX) and value.strip()
        }
        event_types = tuple(dict.fromkeys(visit.parameters("event_types")))
        narrowing = Narrowing(event_types, filter=visit.parameter("filter").strip(), filter_values=values)
        return cls(user_id, int(limit), visit.parameter("kind") != _DISCOVERIES, narrowing)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The settings as fields of a form; those that are as usual are left out."""
        listed = [("user_id", self.user_id)]
        if self.limit != DEFAULT_LIMIT:
            listed.append(("limit", str(self.limit)))
        if not self.allow_repeats:
            listed.append(("kind", _DISCOVERIES))
        listed += [("event_types", event_type) for event_type in self.narrowing.event_types]
        if self.narrowing.filter:
            listed.append(("filter", self.narrowing.filter))
        return listed + [(f"{VALUE_PREFIX}{name}", value) for name, value in self.narrowing.filter_values.items()]

    @property
    def query(self) -> dict[str, list[str]]:
        """The same for ``Visit.link``."""
        query: dict[str, list[str]] = {}
        for name, value in self.fields:
            query.setdefault(name, []).append(value)
        return query

    def curl(self, visit: Visit) -> str:
        """The command line that gives the same list by the API."""
        narrowing = self.narrowing
        return visit.curl(
            "GET",
            f"/users/{quote(self.user_id, safe='')}/actions",
            limit=self.limit,
            allow_repeats="" if self.allow_repeats else "false",
            event_types=",".join(narrowing.event_types),
            filter=narrowing.filter,
            filter_values=json.dumps(dict(narrowing.filter_values)) if narrowing.filter_values else "",
            explain="true",
        )


@dataclass(frozen=True, slots=True)
class UserView:
    """One user as they were read, with the program's catalogue and its model (None before the first rebase).

    ``placeholders`` are the names of the chosen filter's values; True for those that it cannot do without.
    """

    visit: Visit
    settings: Settings
    user: UserRead
    history: History
    state: ProgramState
    catalogue: Catalogue
    served: tuple[str, Model] | None
    placeholders: Mapping[str, bool]

    @property
    def missing(self) -> list[str]:
        """The filter's values that are still to be given."""
        given = self.settings.narrowing.filter_values
        return [name for name, is_required in self.placeholders.items() if is_required and name not in given]

    @property
    def event_types(self) -> list[str]:
        """All event types that may be asked for."""
        known = set(self.history.actions.event_types)
        return sorted(known.union(self.served[1].type_index if self.served is not None else ()))

    def recommend(self, history: History, *, limit: int, explained: bool) -> RecommendationList:
        """The next actions of the user with this history. Raises InvalidInput as the filter does."""
        recommender, narrowing = self.visit.services.recommender, self.settings.narrowing
        narrow = None
        if narrowing != Narrowing():
            user = replace(self.user, history=history)
            narrow = partial(recommender.narrower.narrowed, narrowing, user, self.state)
        return recommender.recommend(
            self.state,
            history,
            now=self.visit.now,
            limit=limit,
            allow_repeats=self.settings.allow_repeats,
            explained=explained,
            narrow=narrow,
        )

    def explained(self) -> RecommendationList:
        """The list of the settings with its reasons. Raises InvalidInput as the filter does."""
        return self.recommend(self.history, limit=self.settings.limit, explained=True)

    def rows(self, answer: RecommendationList) -> list[ActionRow]:
        """The next actions of an explained list with their reasons, strongest first."""
        trained = answer.model_version != UNTRAINED
        reasoner = Reasoner(self.history, self.catalogue.name_of, now=self.visit.now, trained=trained)
        return [
            _row(entry, explanation, reasoner, self.catalogue)
            for entry, explanation in zip(answer.recommendations, answer.explanations or (), strict=True)
        ]


def read_user(visit: Visit, settings: Settings) -> tuple[UserRead, ProgramState]:
    """Read a user as the API does, with the filter of the settings, in one round trip."""
    recommender, narrowing = visit.services.recommender, settings.narrowing
    resources = recommender.narrower.resources_of(narrowing) if narrowing.filter else ()
    return recommender.read(visit.session, visit.program_id, settings.user_id, now=visit.now, resources=resources)


def view_of(visit: Visit, settings: Settings, user: UserRead, state: ProgramState) -> UserView:
    """What pages show of a user who was read. Raises ArtifactError, Unavailable for a model that cannot be read."""
    catalogue, served = visit.services.recommender.loaded(state, now=visit.now)
    stored = user.resources.get((FILTER, settings.narrowing.filter))
    placeholders: dict[str, bool] = {}
    if stored is not None:
        bound = bind_stored(stored)
        placeholders = dict.fromkeys(bound.required, True) | dict.fromkeys(bound.optional, False)
    # What was filled in for another filter is not about this one.
    values = {name: value for name, value in settings.narrowing.filter_values.items() if name in placeholders}
    settings = replace(settings, narrowing=replace(settings.narrowing, filter_values=values))
    history = user.history or History.empty()
    return UserView(visit, settings, user, history, state, catalogue, served, placeholders)


@dataclass(frozen=True, slots=True)
class Addend:
    """A row of a sum. ``points`` (percentage points) and ``amount`` (of the score) are rounded so that the sum holds.

    ``share`` is the length of the amount's bar, between -1 and 1, on one scale for the whole sum; ``kind`` is one of
    ``average``, ``reason``, ``rest`` and ``sum``.
    """

    kind: str
    text: str
    points: float
    amount: float
    share: float


@dataclass(frozen=True, slots=True)
class ActionRow:
    """A recommended action, why it is recommended, and its weight as a sum."""

    recommendation: Recommendation
    name: str
    sentence: str
    addends: Sequence[Addend]


_POINT_DIGITS = 2
_SCORE_DIGITS = 4


def _row(
    recommendation: Recommendation, explanation: Explanation, reasoner: Reasoner, catalogue: Catalogue
) -> ActionRow:
    reasons, comparison = reasoner.of(explanation), explanation.comparison
    average = ("average", "The average user", 100.0 * comparison.average_growth_weight, comparison.average_score)
    parts = [("reason", f"They {reason.phrase}", reason.points, reason.amount) for reason in reasons.reasons]
    total = (100.0 * comparison.growth_weight, explanation.score)
    addends = list(_sum([average, *parts], total))
    return ActionRow(recommendation, catalogue.name_of(recommendation.asset_id), reasons.sentence, addends)


def _sum(parts: Sequence[tuple[str, str, float, float]], total: tuple[float, float]) -> Iterator[Addend]:
    """The rows of a sum: ``parts``, the rest, and the total. What rounding leaves over is in the rest."""
    points_total, amount_total = round(total[0], _POINT_DIGITS), round(total[1], _SCORE_DIGITS)
    rounded = [
        (kind, text, round(points, _POINT_DIGITS) + 0.0, round(amount, _SCORE_DIGITS) + 0.0)
        for kind, text, points, amount in parts
    ]
    # Zero is added because what is rounded may be -0.0.
    rest_points = round(points_total - sum(row[2] for row in rounded), _POINT_DIGITS) + 0.0
    rest_amount = round(amount_total - sum(row[3] for row in rounded), _SCORE_DIGITS) + 0.0
    rounded.append(("rest", "Everything else", rest_points, rest_amount))
    rounded.append(("sum", "This user", points_total, amount_total))
    scale = max(abs(row[3]) for row in rounded) or 1.0
    for kind, text, points, amount in rounded:
        yield Addend(kind, text, points, amount, amount / scale)
