"""The five Put operations of personalize-events, by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.domain.access_keys import AccessKey
from nextbest.errors import NextbestError
from nextbest.personalize.events.interactions import put_action_interactions, put_events
from nextbest.personalize.events.records import put_actions, put_items, put_users
from nextbest.personalize.protocol.caller import Caller, identify
from nextbest.personalize.protocol.errors import Protocol, Refused
from nextbest.personalize.protocol.wire import Answer, failure, read_body, success
from nextbest.store.base import Store
from nextbest.store.cache import CatalogueCache
from nextbest.web.request import Request

PATHS = ("/action-interactions", "/events", "/actions", "/users", "/items")


def answer(
    store: Store,
    catalogues: CatalogueCache,
    request: Request,
    caller: Caller,
    *,
    path: str,
    request_id: str,
) -> Answer:
    """Answer one Put. ``path`` is the operation's own, such as ``/events``, without any prefix of the deployment."""
    try:
        key = identify(store, caller)
        fields = _put(store, catalogues, key, path, read_body(request.body))
    except NextbestError as error:
        return failure(error, protocol=Protocol.REST, request_id=request_id)
    return success(None, protocol=Protocol.REST, request_id=request_id, fields=fields)


def _put(
    store: Store, catalogues: CatalogueCache, key: AccessKey, path: str, body: dict[str, Any]
) -> Mapping[str, Any]:
    match path:
        case "/action-interactions":
            put = put_action_interactions(store, key, body)
        case "/events":
            put = put_events(store, key, body)
        case "/actions":
            return {"actions": put_actions(store, catalogues, key, body)}
        case "/users":
            return {"users": put_users(store, key, body)}
        case "/items":
            return {"items": put_items(store, catalogues, key, body)}
        case _:
            raise Refused("UnknownOperationException", f"There is no operation at {path}", status=404)
    return {"accepted": put.accepted, "duplicates": put.duplicates}
