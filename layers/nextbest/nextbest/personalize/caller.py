"""Who calls: proved by AWS's signature or by an ActionHub key, with a key that is kept or read along with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nextbest.access import AccessKey, derive_secret, split_key
from nextbest.personalize.sigv4 import Credential, UnrecognizedClient, parse_authorization, verify
from nextbest.request import Request
from nextbest.store.base import ConfigurationStore
from nextbest.store.cache import AccessKeyCache


class Caller(Protocol):
    """Somebody who claims to hold an access key."""

    @property
    def access_key_id(self) -> str | None:
        """The key to read before ``verified``; None where it is known already."""
        ...

    def verified(self, stored: AccessKey | None) -> AccessKey:
        """The key, once the claim is proved with what the store holds under ``access_key_id``.

        Raises Refused, in the words that AWS has for it.
        """
        ...


class CallerOf(Protocol):
    """Reads who claims to send a request. Raises Refused for a claim that cannot even be read."""

    def __call__(self, request: Request, *, now: float) -> Caller: ...


class Callers:
    """Reads and checks claims. Keys that were read lately are kept in ``access_keys``.

    ``path_prefixes`` are what a gateway may take off a path that the client signed.
    """

    def __init__(
        self, access_keys: AccessKeyCache, master_secret: str, *, path_prefixes: Sequence[str] = ("",)
    ) -> None:
        self.access_keys = access_keys
        self.master_secret = master_secret
        self.path_prefixes = path_prefixes

    def __call__(self, request: Request, *, now: float) -> Caller:
        """The caller of ``request``: by its ``actionhub-key`` where it has one, else by its signature."""
        key_text = request.headers.get("actionhub-key")
        if key_text is not None:
            key_id, secret = split_key(key_text)
            return _Claim(self, now, self.access_keys.get(key_id, now=now), key_id, secret=secret)
        credential = parse_authorization(request.headers)
        kept = self.access_keys.get(credential.access_key_id, now=now)
        return _Claim(self, now, kept, credential.access_key_id, signed=(request, credential))


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claim to hold the key ``key_id``: with its secret, or with a request signed by it."""

    callers: Callers
    now: float
    kept: AccessKey | None
    key_id: str
    secret: str | None = None
    signed: tuple[Request, Credential] | None = None

    @property
    def access_key_id(self) -> str | None:
        return self.key_id if self.kept is None else None

    def verified(self, stored: AccessKey | None) -> AccessKey:
        key = self.kept or stored
        if key is None or not key.stands(now=self.now):
            raise UnrecognizedClient
        if self.signed is not None:
            secret = derive_secret(self.callers.master_secret, key.key_id, key.generation)
            verify(*self.signed, secret, now=self.now, path_prefixes=self.callers.path_prefixes)
        elif self.secret is None or not key.accepts(self.secret, now=self.now):
            raise UnrecognizedClient
        if self.kept is None:
            self.callers.access_keys.put(key, now=self.now)
        return key


def identify(store: ConfigurationStore, caller: Caller) -> AccessKey:
    """The caller's key, read from the store where it is not kept. Raises what ``verified`` raises."""
    key_id = caller.access_key_id
    return caller.verified(store.access_key(key_id) if key_id is not None else None)
