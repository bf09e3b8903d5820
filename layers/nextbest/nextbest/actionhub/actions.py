"""GET /users/{user_id}/actions. Hot path: no pydantic."""

from __future__ import annotations

from nextbest.actionhub.errors import USER_HISTORY_NOT_FOUND, render
from nextbest.actionhub.parsing import parse_get_actions
from nextbest.actionhub.protocol import KEY_HEADER, ActionHubEndpoints
from nextbest.actionhub.responses import user_actions
from nextbest.errors import NotFound
from nextbest.logic.authorization import SecretCredentials
from nextbest.logic.recommendations import Recommender
from nextbest.web.request import Request
from nextbest.web.response import Response


class ActionsEndpoint(ActionHubEndpoints):
    """Recommends actions to the user named in the path."""

    def __init__(self, recommender: Recommender) -> None:
        super().__init__(recommender.gate)
        self._recommender = recommender

    def serve(self, request: Request, *, now: float) -> Response:
        """The user's next actions. Raises InvalidRequest, Forbidden, NotFound, TooManyRequests."""
        query = parse_get_actions(request)
        credentials = SecretCredentials.read(request.headers.get(KEY_HEADER))
        user, state = self._recommender.read(credentials, query.program_id, query.user_id, now=now)
        if user.history is None:
            raise NotFound(USER_HISTORY_NOT_FOUND)
        actions = self._recommender.recommend(
            state,
            user.history,
            now=now,
            limit=query.limit,
            allow_repeats=query.allow_repeats,
            explained=query.explain,
        )
        return Response(
            200,
            render(user_actions(actions.recommendations, actions.catalogue.name_of, actions.explanations)),
            {"x-nextbest-model": actions.model_version},
            {"program": query.program_id, "model": actions.model_version, "actions": len(actions.recommendations)},
        )
