"""What a user gets in the variants of the experiments that run. Imported only for programs that run some."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.catalogue import Catalogue
from nextbest.domain.experiments import CHALLENGER_VARIANT, HOLDOUT_VARIANT, Assignment, HoldoutList, assignment_of
from nextbest.domain.history import History
from nextbest.errors import InvalidInput
from nextbest.logic.models import pointer_to
from nextbest.logic.recommendations import UNTRAINED, RecommendationList
from nextbest.scoring import Model
from nextbest.scoring.popular import recommend_popular
from nextbest.store.base import ProgramState

if TYPE_CHECKING:
    from nextbest.logic.narrowing import Masks
    from nextbest.logic.recommendations import Narrow, Recommender

    Served = tuple[str, Model] | None


def recommend_in_variant(
    recommender: Recommender,
    state: ProgramState,
    history: History,
    user_id: str,
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    explained: bool,
    narrow: Narrow | None,
    for_goal: bool,
) -> RecommendationList:
    """``Recommender.recommend`` for a user of a program that runs experiments. Raises InvalidInput."""
    assignment = assignment_of(state.experiments, user_id)
    if assignment.holdout_list is not None:
        return _held_out(
            recommender,
            state,
            history,
            assignment,
            now=now,
            limit=limit,
            allow_repeats=allow_repeats,
            explained=explained,
            narrow=narrow,
            for_goal=for_goal,
        )
    settings = assignment.settings
    served = recommender.recommend(
        challenged(state, assignment),
        history,
        now=now,
        limit=limit,
        allow_repeats=allow_repeats if settings.allow_repeats is None else settings.allow_repeats,
        explained=explained,
        narrow=narrow if settings.event_types is None else _OnlyEventTypes(settings.event_types, narrow),
        for_goal=for_goal,
    )
    note = ""
    if settings.names and not served.recommendations and served.model_version != UNTRAINED:
        changed = ", ".join(sorted(settings.names))
        note = f"nothing is left by {changed} of the challenger, or by limits that all users have"
    return replace(served, experiments=assignment.variants, note=note)


def challenged(state: ProgramState, assignment: Assignment) -> ProgramState:
    """The state that serves the user: the program's own, with what their challengers change.

    A model that a challenger names falls back on the program's own where it cannot be read.
    """
    settings = assignment.settings
    program, model, previous, is_pinned = state.program, state.model, state.previous_model, False
    if settings.action_weight_floor is not None:
        program = replace(program, action_weight_floor=settings.action_weight_floor)
    if settings.never_recommended is not None:
        program = replace(program, never_recommended=settings.never_recommended)
    version = settings.model_version
    if version is not None and model is not None and model.version != version:
        model, previous, is_pinned = pointer_to(program.incarnation, version), model, True
    challengers = [name for name, variant in assignment.variants.items() if variant == CHALLENGER_VARIANT]
    return replace(
        state,
        program=program,
        model=model,
        previous_model=previous,
        variant="".join(f"/{name}" for name in challengers),
        is_pinned=is_pinned,
    )


def note_on_holdout(assignment: Assignment, *, has_list: bool) -> str:
    """What the header x-nextbest-note says to a user who is held out."""
    name = next(name for name, variant in assignment.variants.items() if variant == HOLDOUT_VARIANT)
    if assignment.holdout_list is HoldoutList.NOTHING:
        return f"the experiment {name} holds this user out: nothing is recommended"
    if not has_list:
        return f"the experiment {name} holds this user out, and there is no popular list before the next rebase"
    return f"the experiment {name} holds this user out: the popular list"


def _held_out(
    recommender: Recommender,
    state: ProgramState,
    history: History,
    assignment: Assignment,
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    explained: bool,
    narrow: Narrow | None,
    for_goal: bool,
) -> RecommendationList:
    """The popular list, or an empty one. What is refused to other users is refused to this one too."""
    catalogue, served = recommender.loaded(state, now=now)
    narrowed = narrow(catalogue, served) if narrow is not None else None
    if for_goal:
        from nextbest.scoring.goal_ranking import effects_on

        if served is None:
            raise InvalidInput("There is no model yet: the program's first rebase makes it", field="objective")
        effects_on(state.program.goal, served[1])
    recommendations = []
    if served is not None and assignment.holdout_list is HoldoutList.POPULAR:
        recommendations = recommend_popular(
            served[1],
            history,
            now=now,
            limit=limit,
            allow_repeats=allow_repeats,
            allowed=narrowed.of_model(served[1]) if narrowed is not None else None,
        )
    return RecommendationList(
        recommendations,
        [] if explained else None,
        catalogue,
        served[0] if served is not None else UNTRAINED,
        experiments=assignment.variants,
        note=note_on_holdout(assignment, has_list=served is not None and served[1].base_rates is not None),
    )


@dataclass(frozen=True, slots=True)
class _OnlyEventTypes:
    """Narrows down to some event types what ``narrow`` leaves; what it refuses is refused."""

    event_types: Collection[str]
    narrow: Narrow | None

    def __call__(self, catalogue: Catalogue, served: Served) -> Masks:
        return _OfEventTypes(self.event_types, self.narrow(catalogue, served) if self.narrow is not None else None)


@dataclass(frozen=True, slots=True)
class _OfEventTypes:
    """Masks of the actions of some event types, of those that ``others`` leave."""

    event_types: Collection[str]
    others: Masks | None

    def of_model(self, model: Model) -> NDArray[np.bool_]:
        mask = np.zeros(len(model.actions), np.bool_)
        mask[model.places_of(self.event_types)] = True
        return mask if self.others is None else mask & self.others.of_model(model)

    def of_actions(self, actions: Sequence[tuple[str, str]]) -> NDArray[np.bool_]:
        mask = np.fromiter((event_type in self.event_types for event_type, _ in actions), np.bool_, len(actions))
        return mask if self.others is None else mask & self.others.of_actions(actions)
