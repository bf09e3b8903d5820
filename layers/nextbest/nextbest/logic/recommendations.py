"""Recommendations: from one read of a user to recommended actions. The same for both dialects.

A request costs one round trip to the store, then arithmetic on a model that is already in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.access_keys import PROGRAM_ID, READ, AccessKey
from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import DAY_US
from nextbest.domain.history import History
from nextbest.domain.programs import Incarnation, Program, out_of_order
from nextbest.errors import Forbidden, InvalidInput, NotFound
from nextbest.logic.authorization import REFUSED, Credentials, Gate, present_state
from nextbest.logic.request_quota import RequestQuota
from nextbest.scoring import Model, explain, recommend
from nextbest.scoring.calibration import UNINFORMED_RATE
from nextbest.scoring.explain import AverageComparison, Contribution, Difference, Explanation
from nextbest.store.base import ArtifactStore, ProgramState, Store, UserRead
from nextbest.store.cache import CatalogueCache, LruCache, ModelCache, RememberedKey

if TYPE_CHECKING:
    from nextbest.logic.narrowing import Masks, Narrower
    from nextbest.logic.resting import RestingAction
    from nextbest.scoring.goal_ranking import GoalImpact

    Narrow = Callable[[Catalogue, "tuple[str, Model] | None"], Masks]

UNTRAINED = "untrained"

_UNINFORMED_DAYS = 3.0


@dataclass(frozen=True, slots=True)
class RecommendationList:
    """What a user should do next, strongest first, and the version of the model.

    ``impacts`` say what each recommendation is worth for the goal, where that is what they are ranked by. ``resting``
    is what would be listed if it did not rest; None where the program has no rest rules, or nothing is explained.
    ``experiments`` has the user's variants by experiment id; ``note`` says what else the caller should know;
    ``allow_repeats`` is what a challenger has in place of what the request says.
    """

    recommendations: list[Recommendation]
    explanations: list[Explanation] | None
    catalogue: Catalogue
    model_version: str
    impacts: list[GoalImpact] | None = None
    resting: list[RestingAction] | None = None
    experiments: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    allow_repeats: bool | None = None


class Recommender:
    """The read side of a deployment: the store, and the caches of a warm environment."""

    def __init__(self, store: Store, artifacts: ArtifactStore, quota: RequestQuota | None = None) -> None:
        self.store = store
        self.quota = quota or RequestQuota(0.0)
        self.models: ModelCache[Model] = ModelCache(artifacts, Model.from_bytes)
        self.catalogues = CatalogueCache(store, artifacts)
        self.gate = Gate(store)
        self._adapted: LruCache[tuple[str, Model]] = LruCache(16)
        self._present: LruCache[Incarnation] = LruCache(256)

    @cached_property
    def narrower(self) -> Narrower:
        """Makes masks of what requests narrow down."""
        # Imported here: few requests do, and the filters come along.
        from nextbest.logic.narrowing import Narrower

        return Narrower()

    def read(
        self,
        credentials: Credentials,
        program_id: str,
        user_id: str,
        *,
        now: float,
        resources: Sequence[tuple[str, str]] = (),
    ) -> tuple[UserRead, ProgramState]:
        """Read a user; in the same round trip the ``resources`` (kinds and names) of the program, and the caller's key,
        where it is remembered and may have changed.

        The caller proves to hold a key, and what the key opens is checked, before anything of a user is read. Raises
        Forbidden, TooManyRequests, NotFound.
        """
        identified = self.gate.identify(credentials, now=now)
        key = identified.key
        expected = self.expected_incarnation(key, program_id)
        if expected is None or not PROGRAM_ID.fullmatch(program_id):
            raise Forbidden(REFUSED)
        if identified.current:
            self._admit(key, expected, now)
            read = self.store.read_user(expected, user_id, resources=resources)
        else:
            read = self._read_and_confirm(identified, credentials, expected, user_id, now, resources)
            key = read.access_key or key
        state = self.present(key, read.state)
        while state.program.incarnation != expected:  # the id was used again, which an operator's key may not know yet
            expected = state.program.incarnation
            read = self.store.read_user(expected, user_id, resources=resources)
            state = self.present(key, read.state)
        return read, state

    def _read_and_confirm(
        self,
        identified: RememberedKey,
        credentials: Credentials,
        incarnation: Incarnation,
        user_id: str,
        now: float,
        resources: Sequence[tuple[str, str]],
    ) -> UserRead:
        """Read a user together with the stored key, which decides before anything of the user is decoded."""

        def admit(stored: AccessKey | None) -> None:
            self._admit(self.gate.confirm(identified, stored, credentials, now=now), incarnation, now)

        return self.store.read_user(
            incarnation, user_id, access_key_id=credentials.key_id, resources=resources, admit=admit
        )

    def _admit(self, key: AccessKey, incarnation: Incarnation, now: float) -> None:
        key.require(incarnation, READ)
        self.quota.take(incarnation, now=now)

    def expected_incarnation(self, key: AccessKey, program_id: str) -> Incarnation | None:
        """The incarnation that the key names, or the last one seen of a program where it opens all; else None."""
        if key.opens_every_program:
            return self._present.get(program_id) or Incarnation(program_id)
        return key.incarnation_of(program_id)

    def present(self, key: AccessKey, state: ProgramState | None, *, hidden: NotFound | None = None) -> ProgramState:
        """The state of a program that was just read. Raises as ``authorization.present_state``."""
        state = present_state(key, state, hidden=hidden)
        if key.opens_every_program:
            self._present.put(state.program.program_id, state.program.incarnation)
        return state

    def loaded(self, state: ProgramState, *, now: float) -> tuple[Catalogue, tuple[str, Model] | None]:
        """The program's catalogue, and its model with the version. A cold environment fetches both at once."""
        if self.models.holds(state) or self.catalogues.holds(state):
            return self.catalogues.catalogue_of(state), self._model_of(state, now=now)
        with ThreadPoolExecutor(1) as pool:
            catalogue = pool.submit(self.catalogues.catalogue_of, state)
            served = self._model_of(state, now=now)
            return catalogue.result(), served

    def _model_of(self, state: ProgramState, *, now: float) -> tuple[str, Model] | None:
        """The current model, with the program's current settings rather than those it was trained with."""
        served = self.models.model_of(state, now=now)
        if served is None:
            return None
        version, model = served
        place = state.model_place + state.variant
        adapted = self._adapted.get(place)
        if adapted is not None and adapted[0] == version:
            model = adapted[1]
        model = model.under(state.program)
        self._adapted.put(place, (version, model))
        return version, model

    def recommend(
        self,
        state: ProgramState,
        history: History,
        *,
        now: float,
        limit: int,
        allow_repeats: bool,
        explained: bool,
        narrow: Narrow | None = None,
        for_goal: bool = False,
        user_id: str | None = None,
    ) -> RecommendationList:
        """The user's strongest actions, of those that ``narrow`` leaves; ``for_goal`` those of the largest expected
        impact on the program's goal. With a ``user_id`` the experiments that run decide what serves that user. Raises
        InvalidInput as ``narrow`` does, and where nothing is known of the goal.
        """
        if state.experiments and user_id is not None:
            # Imported here: few programs run experiments.
            from nextbest.logic.variants import recommend_in_variant

            return recommend_in_variant(
                self,
                state,
                history,
                user_id,
                now=now,
                limit=limit,
                allow_repeats=allow_repeats,
                explained=explained,
                narrow=narrow,
                for_goal=for_goal,
            )
        catalogue, served = self.loaded(state, now=now)
        narrowed = narrow(catalogue, served) if narrow is not None else None
        allows = narrowed.of_actions if narrowed is not None else None
        if served is None:
            if for_goal:
                raise InvalidInput("There is no model yet: the program's first rebase makes it", field="objective")
            alone = from_history_alone(
                state.program, history, now=now, limit=limit, allow_repeats=allow_repeats, allows=allows
            )
            explanations = [_explanation_of_itself(entry) for entry in alone] if explained else None
            resting = None
            if explained and state.program.rest_rules:
                from nextbest.logic.resting import resting_actions

                restless = replace(state.program, rest_rules=())
                otherwise = from_history_alone(
                    restless, history, now=now, limit=limit, allow_repeats=allow_repeats, allows=allows
                )
                resting = resting_actions(state.program.rest_rules, history, otherwise, now=now)
            return RecommendationList(alone, explanations, catalogue, UNTRAINED, resting=resting)
        version, model = served
        allowed = narrowed.of_model(model) if narrowed is not None else None
        ranked, impacts_of = partial(recommend, model), None
        if for_goal:
            # Imported here: few requests rank by the goal.
            from nextbest.scoring import goal_ranking

            effects = goal_ranking.effects_on(state.program.goal, model)
            ranked = partial(goal_ranking.recommend_for_goal, model, effects)
            impacts_of = partial(goal_ranking.impacts_of, model, effects)
        recommendations = ranked(
            history, now=now, limit=limit, allow_repeats=allow_repeats, allowed=allowed, allows=allows
        )
        impacts = impacts_of(recommendations) if impacts_of is not None else None
        explanations = None
        if explained:
            actions = [Action(entry.event_type, entry.asset_id) for entry in recommendations]
            explanations = explain(model, history, actions, now=now)
        resting = None
        if explained and state.program.rest_rules:
            # Imported here: few requests are explained.
            from nextbest.logic.resting import resting_actions

            otherwise = ranked(
                history, now=now, limit=limit, allow_repeats=allow_repeats, allowed=allowed, allows=allows, resting=True
            )
            resting = resting_actions(state.program.rest_rules, history, otherwise, now=now)
        return RecommendationList(recommendations, explanations, catalogue, version, impacts, resting)


def from_history_alone(
    program: Program,
    history: History,
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    allows: Callable[[Sequence[Action]], NDArray[np.bool_]] | None = None,
) -> list[Recommendation]:
    """Before the first rebase: the user's own actions, as if each continued at its past rate.

    A steady rate r has base weight r · half_life / ln 2, and a Poisson process of rate r acts at least once within the
    horizon with probability p = 1 - exp(-r · horizon). A rate is only known from days on which the action came again:
    after n of them the growth weight is the mean of p and the uninformed rate, weighted n : ``_UNINFORMED_DAYS``.
    """
    if not allow_repeats or not history:
        return []
    weights = history.base_weight_vector(program.half_life_days, now)
    continued = -np.expm1(-weights * (math.log(2) / program.half_life_days) * program.horizon_days)
    days_again = _days_of(history) - 1.0
    trust = days_again / (days_again + _UNINFORMED_DAYS)
    growth = trust * continued + (1.0 - trust) * np.minimum(continued, UNINFORMED_RATE)
    order = np.argsort(-weights, kind="stable")  # actions are sorted, so equal weights are in the order of their names
    if program.never_recommended or program.done_once or program.event_type_order:
        types = [history.actions[place].event_type for place in order.tolist()]
        withheld = out_of_order(program.event_type_order, types).union(program.never_recommended, program.done_once)
        order = order[~np.isin(types, list(withheld))]
    if program.rest_rules:
        # Imported here: few programs have rest rules, or caps.
        from nextbest.scoring.rests import Rests

        rests = Rests.of(program.rest_rules, history, now=now)
        is_ready = [rests.rest_of(history.actions[place]) is None for place in order.tolist()]
        order = order[np.array(is_ready, np.bool_)]
    if allows is not None:
        order = order[allows(history.actions)[order]]
    if program.most_per_list:
        from nextbest.scoring.list_caps import event_types_within

        types = [history.actions[place].event_type for place in order.tolist()]
        order = order[event_types_within(types, program.most_per_list)]
    order = order[:limit]
    # The order is that of the base weights, and no growth weight may contradict it.
    growth = np.minimum.accumulate(growth[order])
    actions = [history.actions[place] for place in order.tolist()]
    return [
        Recommendation(action.event_type, action.asset_id, growth_weight, weight, weight)
        for action, growth_weight, weight in zip(actions, growth.tolist(), weights[order].tolist(), strict=True)
        if growth_weight >= program.action_weight_floor
    ]


def _days_of(history: History) -> NDArray[np.float64]:
    """On how many days each action of the history was done; days that are folded together count once."""
    index = np.concatenate([history.older_index, history.action_index]).astype(np.int64)
    days = np.concatenate([history.older_timestamps_us, history.timestamps_us]) // DAY_US
    distinct = np.unique(np.stack([index, days]), axis=1)[0]
    counts = np.bincount(distinct, minlength=len(history.actions)).astype(np.float64)
    if history.folded is not None:
        counts[history.folded.index] += 1.0
    return counts


def _explanation_of_itself(entry: Recommendation) -> Explanation:
    action = Action(entry.event_type, entry.asset_id)
    own = AverageComparison(0.0, (Difference(action, entry.score, is_little=False),), 0.0, entry.growth_weight, 0.0)
    return Explanation(action, entry.score, 0.0, (Contribution(action, entry.base_weight, entry.score),), 0.0, own)
