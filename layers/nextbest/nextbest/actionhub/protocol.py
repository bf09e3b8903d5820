"""What all endpoints of this dialect have in common: the key's header, and errors in the contract's words."""

from __future__ import annotations

from nextbest.actionhub.errors import BodyTooLarge, InvalidRequest, UnreadableBody, answer
from nextbest.errors import Forbidden, NextbestError
from nextbest.logic.authorization import Gate, SecretCredentials
from nextbest.web.request import Request
from nextbest.web.response import Response

KEY_HEADER = "actionhub-key"


class ActionHubEndpoints:
    """Endpoints of the ActionHub API; subclasses ``serve`` requests. Implements ``web.frame.Endpoints``."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def refuse(self, error: NextbestError, request: Request, now: float, /) -> Response:
        """The contract's words for an error. Only callers with a key learn what is wrong with a request."""
        if isinstance(error, InvalidRequest | UnreadableBody | BodyTooLarge):
            try:
                self.gate.authenticate(SecretCredentials.read(request.headers.get(KEY_HEADER)), now=now)
            except Forbidden as forbidden:
                error = forbidden
        return Response(*answer(error))
