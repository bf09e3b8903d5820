"""GetActionRecommendations (docs/contracts/personalize.md, section 2). Hot path: standard library and numpy.

One round trip to the store returns user, program, campaign and filter; the rest is arithmetic on what is in memory.
Actions are ranked by the calibrated probability that the user takes them, which is the score; VALUE breaks ties;
explored actions follow with score 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.access_keys import READ, AccessKey
from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.decisions import PERSONALIZE, DecidedAction, Decision
from nextbest.domain.events import BLANKS, DAY_SECONDS
from nextbest.domain.history import History
from nextbest.domain.programs import Incarnation, Program, out_of_order
from nextbest.domain.resource_statuses import ACTIVE
from nextbest.errors import InvalidInput, NextbestError
from nextbest.filters import BoundFilter, Interactions, evaluate
from nextbest.filters.stored import bind_stored
from nextbest.logic.authorization import Credentials, Gate
from nextbest.logic.decisions import HEADER, decision_fields, decision_of, recommendation_id_of
from nextbest.logic.recommendations import UNTRAINED, Recommender
from nextbest.personalize.datasets.item_event_types import ITEM_EVENTS, item_event_types, types_in
from nextbest.personalize.datasets.sources import TAKEN
from nextbest.personalize.protocol.arns import (
    ARN_PATTERN,
    CAMPAIGN,
    FILTER,
    MAX_ARN_CHARACTERS,
    missing,
    name_in,
)
from nextbest.personalize.protocol.endpoints import PersonalizeEndpoints
from nextbest.personalize.protocol.shapes import Members, StringMap, Text, Whole
from nextbest.personalize.protocol.wire import read_body, success
from nextbest.personalize.runtime.campaign_programs import CampaignPrograms, has_campaign
from nextbest.personalize.runtime.campaign_settings import CampaignSettings
from nextbest.personalize.runtime.candidates import Candidates
from nextbest.personalize.runtime.exploration import Explored, explore
from nextbest.personalize.runtime.ranking import Ranked, rank_by_history, rank_by_model
from nextbest.scoring import Model
from nextbest.store.base import MasterSecret, ProgramState, UserRead
from nextbest.store.cache import LruCache, RememberedKey
from nextbest.web.request import Request
from nextbest.web.response import Response

if TYPE_CHECKING:
    from nextbest.domain.experiments import Assignment

DEFAULT_RESULTS = 5
MAX_RESULTS = 100

_ARN = Text(0, MAX_ARN_CHARACTERS, ARN_PATTERN)
GET_ACTION_RECOMMENDATIONS = Members(
    {
        "campaignArn!": _ARN,
        "userId!": Text(1, 256),
        "numResults": Whole(0, MAX_RESULTS),
        "filterArn": _ARN,
        "filterValues": StringMap(Text(0, 50, "[A-Za-z0-9_]+"), Text(0, 1000), 25),
    }
)


@dataclass(frozen=True, slots=True)
class ActionList:
    """A response. ``scores`` by action id, strongest first; ``explored`` says which of them were drawn, and how.

    ``decision`` is the record of it, None where it is not recorded; ``note`` says what else the caller should know.
    """

    program: Program
    scores: Mapping[str, float]
    recommendation_id: str
    model_version: str
    explored: Explored
    decision: Decision | None
    note: str = ""

    def members(self) -> dict[str, Any]:
        """The members of the response: the list is present even when it is empty (section 1.2)."""
        actions = [{"actionId": action_id, "score": score} for action_id, score in self.scores.items()]
        return {"actionList": actions, "recommendationId": self.recommendation_id}

    def headers(self) -> dict[str, str]:
        """Headers that are not AWS's own."""
        note = {"x-nextbest-note": self.note} if self.note else {}
        return {"x-nextbest-model": self.model_version, HEADER: self.recommendation_id, **note}

    def log_fields(self) -> dict[str, Any]:
        """For the log line; exploration is evaluated by which actions were drawn, from how many, how likely."""
        drawn = list(self.scores)[self.explored.learned :]
        exploration = {"actions": drawn, "propensity": self.explored.propensity, "pool": self.explored.pool}
        return {
            "program": self.program.program_id,
            "model": self.model_version,
            "actions": len(self.scores),
            "recommendation_id": self.recommendation_id,
            **({"exploration": exploration} if self.explored.pool else {}),
            **decision_fields(self.decision, self.program),
        }


@dataclass(frozen=True, slots=True)
class Query:
    """A checked request."""

    campaign: str
    campaign_arn: str
    user_id: str
    limit: int
    filter: str | None
    filter_arn: str
    filter_values: Mapping[str, str]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Query:
        members = GET_ACTION_RECOMMENDATIONS.check(body)
        filter_arn = members.get("filterArn", "")
        return cls(
            name_in(members["campaignArn"], CAMPAIGN, field="campaignArn"),
            members["campaignArn"],
            members["userId"].strip(BLANKS),
            members.get("numResults", DEFAULT_RESULTS),
            name_in(filter_arn, FILTER, field="filterArn") if filter_arn else None,
            filter_arn,
            members.get("filterValues", {}),
        )

    @property
    def resources(self) -> list[tuple[str, str]]:
        return [(CAMPAIGN, self.campaign), *([(FILTER, self.filter)] if self.filter is not None else [])]


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that was read from the store for one request, and what experiments make of it."""

    user: UserRead
    state: ProgramState
    history: History
    attributes: Mapping[str, Any] | None
    settings: CampaignSettings
    filter: BoundFilter | None
    item_types: frozenset[str] | None
    """None where they are already part of cached candidates."""
    assignment: Assignment | None = None
    """What experiments that run change for the user; None where none runs."""

    @property
    def event_types(self) -> Collection[str] | None:
        """The only event types that are recommended; None: all that may be."""
        return self.assignment.settings.event_types if self.assignment is not None else None


class PersonalizeRuntimeEndpoints(PersonalizeEndpoints):
    """POST /personalize/action-recommendations."""

    def __init__(self, recommender: Recommender, master_secret: MasterSecret) -> None:
        super().__init__(recommender.store, master_secret)
        self.recommender = ActionRecommender(recommender, self.gate)

    def serve(self, request: Request, *, now: float) -> Response:
        """Recommend actions to the user named in the body."""
        caller = self.caller(request)
        actions = self.recommender.recommend(request.body, caller, now=now, request_id=request.request_id)
        return success(
            actions.members(),
            protocol=self.protocol,
            request_id=request.request_id,
            headers=actions.headers(),
            fields=actions.log_fields(),
        )


class ActionRecommender:
    """Serves GetActionRecommendations; caches candidates and bound filters between requests."""

    def __init__(self, recommender: Recommender, gate: Gate) -> None:
        self._recommender = recommender
        self._gate = gate
        self._programs = CampaignPrograms(recommender)
        self._candidates: LruCache[tuple[str, int, Candidates]] = LruCache(16)
        self._filters: LruCache[tuple[Mapping[str, Any], BoundFilter]] = LruCache(256)

    def recommend(self, body: bytes, caller: Credentials, *, now: float, request_id: str) -> ActionList:
        """What the user should do next. ``now`` is seconds since 1970; the request id seeds exploration.

        The caller proves to hold a key before the body is read.

        Raises InvalidInput, NotFound (no such campaign or filter, or it is not the caller's), Forbidden,
        TooManyRequests.
        """
        identified = self._gate.identify(caller, now=now)
        query = self._query(body, identified, caller, now=now)
        context = self._context(query, identified, caller, now=now)
        if context.state.experiments:
            # Imported here: few programs run experiments.
            from nextbest.personalize.runtime.variants import in_variant

            context = in_variant(context, query.user_id)
        catalogue, served = self._recommender.loaded(context.state, now=now)
        version, model = served if served is not None else (UNTRAINED, None)
        candidates = self._candidates_of(context, version, model, catalogue)
        new = candidates.new_assets(model, context.history)
        if new and model is not None and _has_event_type_unknown_to(model, context.history):
            # The first of their type since the candidates were made: they may be about items.
            types = item_event_types(self._recommender.store, context.state.program.incarnation)
            candidates = self._candidates_of(replace(context, item_types=types), version, model, catalogue)
            new = candidates.new_assets(model, context.history)
        if new:
            assets = {**catalogue.assets, **{asset_id: Asset(asset_id) for asset_id in new}}
            candidates = Candidates.of(model, Catalogue(-1, assets), candidates.item_event_types)
        allowed = candidates.available(context.history, now=now, repeat_event_types=context.settings.repeat_event_types)
        if context.state.program.rest_rules:
            allowed &= ~_resting(context, candidates, now)
        if context.filter is not None:
            allowed &= evaluate(
                context.filter,
                query.filter_values,
                candidates.columns,
                interactions=_interactions(context),
                user=context.attributes,
            )
        if context.assignment is not None:
            from nextbest.personalize.runtime.variants import held_out, without_repeats

            if context.assignment.holdout_list is not None:
                return held_out(context, query, candidates, allowed, served, request_id=request_id, now=now)
            allowed = without_repeats(context, candidates, allowed)
        if model is not None:
            ranked = rank_by_model(
                model,
                context.history,
                candidates,
                allowed,
                now=now,
                limit=query.limit,
                event_types=context.event_types,
            )
        else:
            ranked = rank_by_history(
                context.state.program,
                context.history,
                candidates,
                allowed,
                candidates.item_event_types,
                now=now,
                limit=query.limit,
                event_types=context.event_types,
            )
        places = ranked.places_with_explored(context.state.program.most_per_list, limit=query.limit)
        explored = explore(
            _unlearned(context, candidates, allowed, ranked, now) if places is not None else (),
            learned=len(ranked.rows),
            limit=query.limit if places is None else places,
            weight=context.settings.exploration_weight,
            random=partial(Random, request_id),
        )
        scores = dict(zip(ranked.rows[: explored.learned], ranked.likelihoods[: explored.learned], strict=True))
        scores.update(dict.fromkeys(explored.rows, 0.0))
        shown = {candidates.asset_ids[row]: score for row, score in scores.items()}
        return answered(context, query, shown, explored, version, request_id=request_id, now=now)

    def _query(self, body: bytes, identified: RememberedKey, caller: Credentials, *, now: float) -> Query:
        try:
            return Query.read(read_body(body))
        except InvalidInput:
            if not identified.current:  # only callers with a key of now learn what is wrong
                self._gate.authenticate(caller, now=now)
            raise

    def _context(self, query: Query, identified: RememberedKey, caller: Credentials, *, now: float) -> Context:
        key, incarnation, read = self._opened(query, identified, caller, now=now)
        hidden = missing(query.campaign_arn)
        state = self._recommender.present(key, read.state, hidden=hidden)
        if not has_campaign(read, incarnation, query.campaign):
            raise hidden
        campaign = read.resources[CAMPAIGN, query.campaign]
        if campaign is not None and campaign["status"] != ACTIVE:
            raise InvalidInput(f"The campaign {query.campaign_arn} is not ACTIVE", field="campaignArn")
        settings = CampaignSettings.read(campaign.get("config", {})) if campaign is not None else CampaignSettings()
        bound = self._bound_filter(query, key, incarnation, read) if query.filter is not None else None
        item_types = types_in(read.resources[ITEM_EVENTS]) if ITEM_EVENTS in read.resources else None
        return Context(read, state, read.history or History.empty(), read.attributes, settings, bound, item_types)

    def _opened(
        self, query: Query, identified: RememberedKey, caller: Credentials, *, now: float
    ) -> tuple[AccessKey, Incarnation, UserRead]:
        """The caller's key, the campaign's program and what was read of it: all in one read, where it is as expected.

        That the key opens the program is checked before anything of a user is decoded.
        """
        incarnation = self._programs.expected(identified.key, query.campaign, now=now)
        read = self._read(incarnation, query, caller, identified, now=now) if incarnation is not None else None
        key = (read.access_key if read is not None else None) or identified.key
        if incarnation is None or read is None or not self._is_decided(key, incarnation, query.campaign, read):
            incarnation = self._programs.find(key, query.campaign, query.campaign_arn, now=now)
            read = self._read(incarnation, query, caller, identified, now=now)
        return key, incarnation, read

    @staticmethod
    def _is_decided(key: AccessKey, incarnation: Incarnation, campaign: str, read: UserRead) -> bool:
        """Whether no other program can be meant than the one that was read."""
        return len(key.programs) == 1 or has_campaign(read, incarnation, campaign)

    def _read(
        self, incarnation: Incarnation, query: Query, caller: Credentials, identified: RememberedKey, *, now: float
    ) -> UserRead:
        """What is stored of the user, the program and the campaign; and the key, where its copy is not current."""
        hidden = missing(query.campaign_arn)
        resources = query.resources
        cached = self._candidates.get(incarnation)
        if cached is None or cached[0] == UNTRAINED:
            resources.append(ITEM_EVENTS)
        store = self._recommender.store

        def admit(key: AccessKey) -> None:
            key.require(incarnation, READ, hidden=hidden)
            self._recommender.quota.take(incarnation, now=now)

        if identified.current:
            admit(identified.key)
            return store.read_user(incarnation, query.user_id, resources=resources)
        return store.read_user(
            incarnation,
            query.user_id,
            access_key_id=caller.key_id,
            resources=resources,
            admit=lambda stored: admit(self._gate.confirm(identified, stored, caller, now=now)),
        )

    def _bound_filter(self, query: Query, key: AccessKey, incarnation: Incarnation, read: UserRead) -> BoundFilter:
        """The filter of the request. Raises NotFound, InvalidInput."""
        assert query.filter is not None
        resource = read.resources[FILTER, query.filter]
        if resource is None:
            raise self._no_such_filter(query, key)
        if resource["status"] != ACTIVE:
            raise InvalidInput(f"The filter {query.filter_arn} is not ACTIVE", field="filterArn")
        place = f"{incarnation}/{query.filter}"
        cached = self._filters.get(place)
        if cached is None or cached[0] != resource:
            cached = (resource, bind_stored(resource))
            self._filters.put(place, cached)
        return cached[1]

    def _no_such_filter(self, query: Query, key: AccessKey) -> NextbestError:
        """The error for a filter that the campaign's program does not have; others that the key opens may have it."""
        if len(key.programs) != 1 and self._programs.that_have(key, FILTER, query.filter or ""):
            problem = f"The filter {query.filter_arn} belongs to another dataset group than the campaign"
            return InvalidInput(problem, field="filterArn")
        return missing(query.filter_arn)

    def _candidates_of(self, context: Context, version: str, model: Model | None, catalogue: Catalogue) -> Candidates:
        incarnation, types = context.state.program.incarnation, context.item_types
        place = context.state.model_place
        cached = self._candidates.get(place)
        if cached is None or cached[:2] != (version, catalogue.revision) or cached[2].is_outdated_by(types):
            if types is None:
                types = item_event_types(self._recommender.store, incarnation)
            cached = (version, catalogue.revision, Candidates.of(model, catalogue, types))
            self._candidates.put(place, cached)
        return cached[2]


def answered(
    context: Context,
    query: Query,
    scores: Mapping[str, float],
    explored: Explored,
    version: str,
    *,
    request_id: str,
    now: float,
    note: str = "",
) -> ActionList:
    """The response with these ``scores`` by action id, and the record of it."""
    program, assignment = context.state.program, context.assignment
    recommendation_id = recommendation_id_of(request_id)
    decision = decision_of(
        program,
        query.user_id,
        context.user,
        _decided(scores, explored, context.history, program, now),
        recommendation_id=recommendation_id,
        now=now,
        dialect=PERSONALIZE,
        model=version,
        filter=query.filter,
        filter_values=query.filter_values,
        # Settings and filters say what not to repeat, or a challenger says that nothing is to be.
        allow_repeats=assignment is None or assignment.settings.allow_repeats is not False,
        limit=query.limit,
        pool=explored.pool if explored.propensity else 0,
        experiments=assignment.variants if assignment is not None else {},
    )
    return ActionList(program, scores, recommendation_id, version, explored, decision, note)


def _decided(
    scores: Mapping[str, float], explored: Explored, history: History, program: Program, now: float
) -> Iterator[DecidedAction]:
    """The actions of an answer as its record has them: to be TAKEN, each with the weight of having been. Lazily, as not
    every answer is recorded."""
    places = [history.place_of(Action(TAKEN, asset_id)) for asset_id in scores]
    weights = [0.0] * len(places)
    if any(place is not None for place in places):
        vector = history.base_weight_vector(program.half_life_days, now).tolist()
        weights = [vector[place] if place is not None else 0.0 for place in places]
    for (asset_id, score), weight, propensity in zip(scores.items(), weights, explored.propensities(), strict=True):
        yield DecidedAction(TAKEN, asset_id, score, weight, propensity)


def _has_event_type_unknown_to(model: Model, history: History) -> bool:
    return any(event_type not in model.type_index for event_type in history.actions.event_types)


def _interactions(context: Context) -> Interactions:
    if context.filter is None or not context.filter.reads_interactions:
        return Interactions()
    return Interactions.of(context.history)


def _resting(context: Context, candidates: Candidates, now: float) -> NDArray[np.bool_]:
    """Which assets rest for the user, shape (assets,): what is listed, or explored, is to be TAKEN."""
    # Imported here: few programs have rest rules.
    from nextbest.scoring.rests import Rests

    rests = Rests.of(context.state.program.rest_rules, context.history, now=now)
    resting = np.zeros(len(candidates.asset_ids), np.bool_)
    for asset_id in rests.asset_ids:
        row = candidates.columns.rows.get(asset_id)
        if row is not None:
            resting[row] = rests.rest_of(Action(TAKEN, asset_id)) is not None
    return resting


def _unlearned(
    context: Context, candidates: Candidates, allowed: NDArray[np.bool_], ranked: Ranked, now: float
) -> list[int]:
    """Rows that may be explored: allowed, unknown to the model, and young enough (section 7.6).

    An action of unknown age counts as new (section 6.3). What is explored is to be TAKEN, so nothing is explored
    for those to whom the program does not recommend what is TAKEN.
    """
    program, age_days = context.state.program, context.settings.exploration_age_days
    if TAKEN in program.never_recommended or (context.event_types is not None and TAKEN not in context.event_types):
        return []
    if TAKEN in out_of_order(program.event_type_order, context.history.actions.event_types):
        return []
    pool = allowed & ~ranked.scored
    if age_days is not None:
        pool &= candidates.created_at >= now - age_days * DAY_SECONDS
    rows: list[int] = np.flatnonzero(pool).tolist()
    return rows
