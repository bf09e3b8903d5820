"""GET /users/{user_id}/actions. Hot path: no pydantic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from nextbest.actionhub.errors import USER_HISTORY_NOT_FOUND, render
from nextbest.actionhub.parsing import GOAL, parse_get_actions
from nextbest.actionhub.protocol import KEY_HEADER, ActionHubEndpoints
from nextbest.domain.actions import Action, Narrowing, Recommendation
from nextbest.domain.decisions import ACTIONHUB, DecidedAction
from nextbest.errors import InvalidInput, NotFound
from nextbest.logic.authorization import SecretCredentials
from nextbest.logic.decisions import HEADER, decision_fields, decision_of, recommendation_id_of
from nextbest.logic.recommendations import UNTRAINED, Recommender
from nextbest.web.request import Request
from nextbest.web.response import Response

if TYPE_CHECKING:
    from nextbest.actionhub.parsing import GetActions
    from nextbest.domain.history import History
    from nextbest.domain.programs import Program
    from nextbest.logic.reasons import Reasons
    from nextbest.logic.recommendations import RecommendationList
    from nextbest.scoring import Explanation
    from nextbest.store.base import UserRead

NO_MODEL_YET = "no model yet: until the program's first rebase only what the user did is recommended"


class ActionsEndpoint(ActionHubEndpoints):
    """Recommends actions to the user named in the path."""

    def __init__(self, recommender: Recommender) -> None:
        super().__init__(recommender.gate)
        self._recommender = recommender

    def serve(self, request: Request, *, now: float) -> Response:
        """The user's next actions. Raises InvalidRequest, Forbidden, NotFound, TooManyRequests."""
        query = parse_get_actions(request)
        credentials = SecretCredentials.read(request.headers.get(KEY_HEADER))
        recommender, narrowing = self._recommender, query.narrowing
        resources = recommender.narrower.resources_of(narrowing) if narrowing is not None else ()
        user, state = recommender.read(credentials, query.program_id, query.user_id, now=now, resources=resources)
        if user.history is None:
            raise NotFound(USER_HISTORY_NOT_FOUND)
        narrow = partial(recommender.narrower.narrowed, narrowing, user, state) if narrowing is not None else None
        try:
            actions = recommender.recommend(
                state,
                user.history,
                now=now,
                limit=query.limit,
                allow_repeats=query.allow_repeats,
                explained=query.explain,
                narrow=narrow,
                for_goal=query.objective == GOAL,
                user_id=query.user_id,
            )
        except InvalidInput as error:
            if narrowing is None and query.objective != GOAL:
                raise
            from nextbest.actionhub.narrowing import in_query

            raise in_query(error, query) from error
        recommendation_id = recommendation_id_of(request.request_id)
        headers = {"x-nextbest-model": actions.model_version, HEADER: recommendation_id}
        if actions.note or not actions.recommendations:
            headers["x-nextbest-note"] = actions.note or _why_empty(actions, query, state.program)
        return Response(
            200,
            render(_body(actions, user.history, now)),
            headers,
            {
                "program": query.program_id,
                "model": actions.model_version,
                "actions": len(actions.recommendations),
                **_decision(actions, query, user, state.program, recommendation_id, now),
            },
        )


def _decision(
    actions: RecommendationList, query: GetActions, user: UserRead, program: Program, recommendation_id: str, now: float
) -> dict[str, Any]:
    """The record of the answer, as a field of the log line; none where it is not recorded."""
    narrowing = query.narrowing
    decision = decision_of(
        program,
        query.user_id,
        user,
        (
            DecidedAction(entry.event_type, entry.asset_id, float(entry.growth_weight), float(entry.base_weight))
            for entry in actions.recommendations
        ),
        recommendation_id=recommendation_id,
        now=now,
        dialect=ACTIONHUB,
        model=actions.model_version,
        filter=(narrowing.filter or None) if narrowing is not None else None,
        filter_values=narrowing.filter_values if narrowing is not None else {},
        allow_repeats=query.allow_repeats if actions.allow_repeats is None else actions.allow_repeats,
        limit=query.limit,
        experiments=actions.experiments,
    )
    return decision_fields(decision, program)


def _why_empty(actions: RecommendationList, query: GetActions, program: Program) -> str:
    """What leaves nothing to recommend, or may do."""
    if actions.model_version == UNTRAINED:
        return NO_MODEL_YET
    narrowing = query.narrowing or Narrowing()
    limits = {
        "allow_repeats": not query.allow_repeats,
        "event_types": narrowing.event_types,
        "exclude_event_types": narrowing.exclude_event_types,
        "filter": narrowing.filter,
        "action_weight_floor": program.action_weight_floor > 0,
        "never_recommended": program.never_recommended,
        "done_once": program.done_once,
        "event_type_order": program.event_type_order,
        "rest_rules": program.rest_rules,
    }
    named = ", ".join(name for name, limit in limits.items() if limit)
    return f"nothing is left by {named}" if named else "the model knows no action"


def _body(actions: RecommendationList, history: History, now: float) -> dict[str, Any]:
    name_of = actions.catalogue.name_of
    explained = None
    if actions.explanations is not None:
        # Imported here: few requests are explained.
        from nextbest.logic.reasons import Reasoner

        reasoner = Reasoner(history, name_of, now=now, trained=actions.model_version != UNTRAINED)
        explained = {entry.action: explanation_body(entry, reasoner.of(entry)) for entry in actions.explanations}
    body = user_actions(actions.recommendations, name_of, explained)
    if actions.resting is not None:
        # Imported here: few requests are explained.
        from nextbest.domain.times import format_time

        body["resting"] = [
            {
                "event_type": entry.action.event_type,
                "asset_id": entry.action.asset_id,
                "asset_name": name_of(entry.action.asset_id),
                "rests_until": format_time(entry.until_us),
                "reason": entry.reason,
            }
            for entry in actions.resting
        ]
    if actions.impacts is not None:
        from nextbest.actionhub.goal import add_goal

        add_goal(body["actions"], actions.impacts)
    return body


def user_actions(
    recommendations: Sequence[Recommendation],
    name_of: Callable[[str], str],
    explanations: Mapping[Action, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The body of the response. ``name_of`` gives an asset's name.

    ``explanations`` are there where the caller asked for them (not None): null for an action without one.
    """
    actions: list[dict[str, Any]] = [
        {
            "event_type": recommendation.event_type,
            "asset_id": recommendation.asset_id,
            "asset_name": name_of(recommendation.asset_id),
            "growth_weight": float(recommendation.growth_weight),
            "base_weight": float(recommendation.base_weight),
        }
        for recommendation in recommendations
    ]
    if explanations is not None:
        for action in actions:
            action["explanation"] = explanations.get(Action(action["event_type"], action["asset_id"]))
    return {"actions": actions}


def explanation_body(explanation: Explanation, reasons: Reasons) -> dict[str, Any]:
    """Why an action is recommended: the reasons against the average user, then the score in parts."""
    comparison = explanation.comparison
    return {
        "sentence": reasons.sentence,
        "points": reasons.points,
        "reasons": [
            {
                "event_type": reason.action.event_type,
                "asset_id": reason.action.asset_id,
                "asset_name": reason.asset_name,
                "points": reason.points,
                "score_difference": reason.amount,
                "count": reason.count,
                "more": reason.more,
                "days_since_last": reason.days_since_last,
            }
            for reason in reasons.reasons
        ],
        "other_points": reasons.other_points,
        "other_score_difference": comparison.other_amount,
        "average_score": comparison.average_score,
        "average_growth_weight": comparison.average_growth_weight,
        "score": explanation.score,
        "prior_share": explanation.prior_share,
        "contributions": [
            {
                "event_type": contribution.action.event_type,
                "asset_id": contribution.action.asset_id,
                "base_weight": contribution.base_weight,
                "share": contribution.share,
            }
            for contribution in explanation.contributions
        ],
        "other_share": explanation.other_share,
    }
