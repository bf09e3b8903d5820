"""What a filter leaves: of the catalogue, and of one user's recommendations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nextbest.domain.actions import Action, Narrowing
from nextbest.domain.history import History
from nextbest.filters import BoundFilter
from nextbest.logic.filters import filter_members
from nextbest.logic.recommendations import RecommendationList, Recommender
from nextbest.store.base import FILTER, ProgramState, UserRead

DRAFT = "draft"
"""The name under which a filter that is not stored is evaluated."""


@dataclass(frozen=True, slots=True)
class FilterPreview:
    """How many actions of the model and assets of the catalogue pass a filter, and what is recommended then.

    ``is_personal``: what passes depends on the user. ``recommended`` is None where no user was named.
    """

    allowed_actions: int
    actions: int
    allowed_assets: int
    assets: int
    is_personal: bool
    recommended: RecommendationList | None


def preview_filter(
    recommender: Recommender,
    state: ProgramState,
    user: UserRead | None,
    expression: str,
    bound: BoundFilter,
    values: Mapping[str, str],
    *,
    now: float,
    limit: int,
) -> FilterPreview:
    """The filter as it would be with these values of its parameters; without a user as for one who did nothing.

    Raises InvalidInput for values that do not fit, and for a filter that does not select actions.
    """
    catalogue, served = recommender.loaded(state, now=now)
    draft = {(FILTER, DRAFT): filter_members(expression, bound)}
    read = replace(user or UserRead(None, None, state, None, {}), resources=draft)
    narrowed = recommender.narrower.narrowed(Narrowing((), (), DRAFT, values), read, state, catalogue, served)
    actions = served[1].actions if served is not None else ()
    allowed_actions = int(narrowed.of_model(served[1]).sum()) if served is not None else 0
    assets = list(dict.fromkeys((*catalogue.assets, *(action.asset_id for action in actions))))
    allowed_assets = int(narrowed.of_actions([Action("", asset_id) for asset_id in assets]).sum())
    recommended = None
    if user is not None:
        recommended = recommender.recommend(
            state,
            user.history or History.empty(),
            now=now,
            limit=limit,
            allow_repeats=True,
            explained=False,
            narrow=lambda _catalogue, _served: narrowed,
        )
    is_personal = bound.reads_interactions or bound.reads_user
    return FilterPreview(allowed_actions, len(actions), allowed_assets, len(assets), is_personal, recommended)
