"""The order in which FastAPI refuses: a body that is no JSON, then the key, then the values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nextbest.actionhub.errors import InvalidRequest
from nextbest.logic.authorization import authenticate
from nextbest.store.base import Store
from nextbest.store.cache import AccessKeyCache
from nextbest.web.request import Request


@contextmanager
def key_before_values(store: Store, cache: AccessKeyCache, request: Request, *, now: float) -> Iterator[None]:
    """Around parsing: what is wrong with the values is told to callers with a key alone.

    FastAPI reads the body first, then resolves dependencies, such as the one that checks the key, and raises its list
    of what is wrong last. Raises Forbidden in place of InvalidRequest for a caller without a good key.
    """
    try:
        yield
    except InvalidRequest as error:
        if not error.is_about_json:
            authenticate(store, cache, request.headers.get("actionhub-key"), now=now)
        raise
