"""What the endpoints of all three clients have in common: authentication, and errors that every AWS SDK understands."""

from __future__ import annotations

from nextbest.domain.access_keys import AccessKey
from nextbest.errors import NextbestError
from nextbest.logic.authorization import Gate
from nextbest.personalize.protocol.errors import Protocol
from nextbest.personalize.protocol.signed_caller import SignedCaller
from nextbest.personalize.protocol.wire import failure
from nextbest.store.base import ConfigurationStore, MasterSecret
from nextbest.web.request import Request
from nextbest.web.response import Response


class PersonalizeEndpoints:
    """The endpoints of one client; subclasses ``serve`` requests. Implements ``web.frame.Endpoints``."""

    protocol = Protocol.REST

    def __init__(self, store: ConfigurationStore, master_secret: MasterSecret) -> None:
        # No copy of a key is current: each request reads its key, so that revoking one takes effect at once.
        self.gate = Gate(store, current_seconds=0.0)
        self._master_secret = master_secret

    def caller(self, request: Request) -> SignedCaller:
        """The caller who claims to have signed the request. Raises SignatureRefused."""
        return SignedCaller.of(request, self._master_secret)

    def authenticate(self, request: Request, *, now: float) -> AccessKey:
        """The key that signed the request. Raises SignatureRefused."""
        return self.gate.authenticate(self.caller(request), now=now)

    def refuse(self, error: NextbestError, request: Request, _now: float, /) -> Response:
        """The response that every AWS SDK turns into the right exception."""
        return failure(error, protocol=self.protocol, request_id=request.request_id)
