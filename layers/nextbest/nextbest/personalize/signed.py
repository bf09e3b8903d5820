"""Callers who sign their requests with an access key, as every AWS SDK does."""

from __future__ import annotations

from dataclasses import dataclass

from nextbest.access import AccessKey, derive_secret
from nextbest.personalize.sigv4 import Credential, UnrecognizedClient, parse_authorization, verify
from nextbest.request import Request


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
        if stored is None or not stored.stands(now=self.now):
            raise UnrecognizedClient
        secret = derive_secret(self.master_secret, stored.key_id, stored.generation)
        verify(self.request, self.credential, secret, now=self.now)
        return stored
