"""Answering: from one read of a user to recommended actions. The same for both dialects.

A request costs one round trip to the store, then arithmetic on a model that is already in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nextbest.domain.access_keys import PROGRAM_ID, READ, split_key
from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.errors import Forbidden, NotFound
from nextbest.logic.authorization import REFUSED
from nextbest.logic.request_quota import RequestQuota
from nextbest.scoring import Model, explain, recommend
from nextbest.scoring.explain import Contribution, Explanation
from nextbest.store.base import ArtifactStore, ProgramState, Store, UserRead
from nextbest.store.cache import AccessKeyCache, CatalogueCache, Kept, ModelCache

UNTRAINED = "untrained"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a user should do next, strongest first, and which model says so."""

    recommendations: list[Recommendation]
    explanations: list[Explanation] | None
    catalogue: Catalogue
    model_version: str


class Serving:
    """The read side of a deployment: the store, and what a warm environment keeps."""

    def __init__(self, store: Store, artifacts: ArtifactStore, quota: RequestQuota | None = None) -> None:
        self.store = store
        self.quota = quota or RequestQuota(0.0)
        self.models: ModelCache[Model] = ModelCache(artifacts, Model.from_bytes)
        self.catalogues = CatalogueCache(store, artifacts)
        self.access_keys = AccessKeyCache()
        self._adapted: Kept[tuple[str, Model]] = Kept(16)

    def read(
        self,
        program_id: str,
        user_id: str,
        key_text: str | None,
        *,
        now: float,
        resources: Sequence[tuple[str, str]] = (),
    ) -> tuple[UserRead, ProgramState]:
        """Read a user for a caller who sent ``key_text``. Raises Forbidden, TooManyRequests, NotFound."""
        if key_text is None or not PROGRAM_ID.fullmatch(program_id):
            raise Forbidden(REFUSED)
        key_id, secret = split_key(key_text)
        kept = self.access_keys.get(key_id, secret, now=now)
        read = self.store.read_user(
            program_id, user_id, access_key_id=key_id if kept is None else None, resources=resources
        )
        key = kept or read.access_key
        if key is None or (kept is None and not key.accepts(secret, now=now)):
            raise Forbidden(REFUSED)
        if kept is None:
            self.access_keys.put(key, now=now)
        key.require(program_id, READ)
        self.quota.take(program_id, now=now)
        if read.state is None:
            raise NotFound("Program not found")
        return read, read.state

    def loaded(self, state: ProgramState, *, now: float) -> tuple[Catalogue, tuple[str, Model] | None]:
        """The program's catalogue, and its model with the version. A cold environment fetches both at once."""
        if self.models.holds(state) or self.catalogues.holds(state):
            return self.catalogues.catalogue_of(state), self._model_of(state, now=now)
        with ThreadPoolExecutor(1) as pool:
            catalogue = pool.submit(self.catalogues.catalogue_of, state)
            served = self._model_of(state, now=now)
            return catalogue.result(), served

    def _model_of(self, state: ProgramState, *, now: float) -> tuple[str, Model] | None:
        """The model that serves, under the program's settings of now rather than those it was trained with."""
        served = self.models.model_of(state, now=now)
        if served is None:
            return None
        version, model = served
        program = state.program
        kept = self._adapted.get(program.program_id)
        if kept is not None and kept[0] == version:
            model = kept[1]
        model = model.with_settings(
            half_life_days=float(program.half_life_days), action_weight_floor=program.action_weight_floor
        )
        self._adapted.put(program.program_id, (version, model))
        return version, model

    def recommend(
        self, state: ProgramState, history: History, *, now: float, limit: int, allow_repeats: bool, explained: bool
    ) -> Answer:
        """The user's strongest actions."""
        catalogue, served = self.loaded(state, now=now)
        if served is None:
            alone = from_history_alone(state.program, history, now=now, limit=limit, allow_repeats=allow_repeats)
            explanations = [_explanation_of_itself(entry) for entry in alone] if explained else None
            return Answer(alone, explanations, catalogue, UNTRAINED)
        version, model = served
        recommendations = recommend(model, history, now=now, limit=limit, allow_repeats=allow_repeats)
        explanations = None
        if explained:
            actions = [Action(entry.event_type, entry.asset_id) for entry in recommendations]
            explanations = explain(model, history, actions, now=now, allow_repeats=allow_repeats)
        return Answer(recommendations, explanations, catalogue, version)


def from_history_alone(
    program: Program, history: History, *, now: float, limit: int, allow_repeats: bool
) -> list[Recommendation]:
    """Before the first rebase: the user's own actions, as if each went on at the rate it has had.

    A steady rate r has base weight r · half_life / ln 2, and a Poisson process of rate r acts at least once within the
    horizon with probability 1 - exp(-r · horizon).
    """
    if not allow_repeats:
        return []
    rate_days = math.log(2) / program.half_life_days
    ranked = sorted(history.base_weights(program.half_life_days, now).items(), key=lambda entry: (-entry[1], entry[0]))
    return [
        Recommendation(*action, -math.expm1(-weight * rate_days * program.horizon_days), weight, weight)
        for action, weight in ranked[:limit]
    ]


def _explanation_of_itself(entry: Recommendation) -> Explanation:
    action = Action(entry.event_type, entry.asset_id)
    return Explanation(action, entry.score, 0.0, (Contribution(action, entry.base_weight, entry.score),), 0.0)
