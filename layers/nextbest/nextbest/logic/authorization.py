"""Who calls, and whether they may: one check for every endpoint that is not on the hot path."""

from __future__ import annotations

from dataclasses import dataclass

from nextbest.domain.access_keys import ADMIN, PROGRAM_ID, AccessKey, split_key
from nextbest.errors import Forbidden, NotFound
from nextbest.store.base import ProgramState, Store
from nextbest.store.cache import AccessKeyCache

REFUSED = "Could not validate API KEY"


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller who proved to hold a key, and the program the call is about."""

    key: AccessKey
    state: ProgramState


def authenticate(store: Store, cache: AccessKeyCache, key_text: str | None, *, now: float) -> AccessKey:
    """The key whose text was sent. Raises Forbidden."""
    if key_text is None:
        raise Forbidden(REFUSED)
    key_id, secret = split_key(key_text)
    if (kept := cache.get(key_id, secret, now=now)) is not None:
        return kept
    key = store.access_key(key_id)
    if key is None or not key.accepts(secret, now=now):
        raise Forbidden(REFUSED)
    cache.put(key, now=now)
    return key


def authorize(
    store: Store, cache: AccessKeyCache, key_text: str | None, program_id: str, scope: str, *, now: float
) -> Caller:
    """A caller with ``scope`` on ``program_id``. Raises Forbidden; NotFound only to keys that open every program."""
    key = authenticate(store, cache, key_text, now=now)
    key.require(program_id, scope)
    if not PROGRAM_ID.fullmatch(program_id):
        raise Forbidden(REFUSED)
    state = store.program_state(program_id)
    if state is None:
        raise NotFound("Program not found")
    return Caller(key, state)


def require_operator(key: AccessKey) -> None:
    """Raise Forbidden unless the key administers the whole deployment."""
    if ADMIN not in key.scopes or key.programs:
        raise Forbidden(REFUSED)
