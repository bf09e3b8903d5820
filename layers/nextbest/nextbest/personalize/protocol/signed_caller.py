"""Callers who sign their requests with an access key, as every AWS SDK does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from nextbest.domain.access_keys import AccessKey, derive_secret
from nextbest.personalize.protocol.signature import (
    Credential,
    InvalidSignature,
    UnrecognizedClient,
    parse_authorization,
    verify,
)
from nextbest.web.request import Request


@dataclass(frozen=True, slots=True)
class SignedCaller:
    """A caller who signed ``request``; proved once their key is read. ``now`` is seconds since 1970.

    The key's secret is derived from the deployment's master secret, so it is stored nowhere.
    """

    request: Request
    credential: Credential
    master_secret: str
    now: float

    @classmethod
    def of(cls, request: Request, master_secret: str, *, now: float) -> SignedCaller:
        """The caller that the Authorization header names. Raises SignatureRefused for one that cannot be read."""
        return cls(request, parse_authorization(request.headers), master_secret, now)

    @property
    def access_key_id(self) -> str:
        return self.credential.access_key_id

    def verified(self, stored: AccessKey | None) -> AccessKey:
        """``stored``, once the signature is seen to be made with its secret. Raises SignatureRefused."""
        generations = stored.generations(now=self.now) if stored is not None else ()
        if stored is None or not generations:
            raise UnrecognizedClient
        # While a rotated key's two generations overlap, a signature does not tell which one made it.
        for generation in generations[:-1]:
            with suppress(InvalidSignature):
                self._verify(stored, generation)
                return stored
        self._verify(stored, generations[-1])
        return stored

    def _verify(self, stored: AccessKey, generation: int) -> None:
        secret = derive_secret(self.master_secret, stored.key_id, generation)
        verify(self.request, self.credential, secret, now=self.now)
