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
    refuse_presigned,
    verify,
)
from nextbest.store.base import MasterSecret
from nextbest.web.request import Request


@dataclass(frozen=True, slots=True)
class SignedCaller:
    """A caller who signed ``request``; their key has to be read to prove it. Implements ``authorization.Credentials``.

    The key's secret is derived from the deployment's master secret, so it is stored nowhere.
    """

    request: Request
    credential: Credential
    master_secret: MasterSecret

    @classmethod
    def of(cls, request: Request, master_secret: MasterSecret) -> SignedCaller:
        """The caller that the Authorization header names. Raises SignatureRefused for one that cannot be read."""
        refuse_presigned(request)
        return cls(request, parse_authorization(request.headers), master_secret)

    @property
    def key_id(self) -> str:
        return self.credential.access_key_id

    def prove(self, key: AccessKey | None, *, now: float) -> AccessKey:
        """``key``, if the signature was made with its secret. Raises SignatureRefused."""
        generations = key.generations(now=now) if key is not None else ()
        if key is None or not generations:
            raise UnrecognizedClient
        # While a rotated key's two generations overlap, either may have made the signature.
        for generation in generations[:-1]:
            with suppress(InvalidSignature):
                self._verify(key, generation, now)
                return key
        self._verify(key, generations[-1], now)
        return key

    def proves_current(self, key: AccessKey, now: float, /) -> bool:
        """Whether the signature was made with the secret of the key's current generation."""
        try:
            self._verify(key, key.generation, now)
        except InvalidSignature:
            return False
        return True

    def _verify(self, key: AccessKey, generation: int, now: float) -> None:
        secret = derive_secret(self.master_secret(), key.key_id, generation)
        verify(self.request, self.credential, secret, now=now)
