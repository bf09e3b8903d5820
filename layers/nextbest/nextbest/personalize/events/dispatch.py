"""The five Put operations of personalize-events, by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.domain.access_keys import AccessKey
from nextbest.personalize.events.interactions import put_action_interactions, put_events
from nextbest.personalize.events.records import put_actions, put_items, put_users
from nextbest.personalize.protocol.endpoints import PersonalizeEndpoints
from nextbest.personalize.protocol.errors import UNKNOWN_OPERATION, Refused
from nextbest.personalize.protocol.wire import read_body, success
from nextbest.store.base import MasterSecret, Store
from nextbest.store.cache import CatalogueCache
from nextbest.web.request import PERSONALIZE, Request
from nextbest.web.response import Response

PATHS = ("/action-interactions", "/events", "/actions", "/users", "/items")


class PersonalizeEventsEndpoints(PersonalizeEndpoints):
    """What Personalize clients put: interactions, events, actions, users, items."""

    def __init__(self, store: Store, catalogues: CatalogueCache, master_secret: MasterSecret) -> None:
        super().__init__(store, master_secret)
        self._store = store
        self._catalogues = catalogues

    def serve(self, request: Request, *, now: float) -> Response:
        """The response to one Put."""
        key = self.authenticate(request, now=now)
        path = request.path.removeprefix(PERSONALIZE)
        fields = self._put(key, path, read_body(request.body), now=now)
        return success(None, protocol=self.protocol, request_id=request.request_id, fields=fields)

    def _put(self, key: AccessKey, path: str, body: dict[str, Any], *, now: float) -> Mapping[str, Any]:
        match path:
            case "/action-interactions":
                put = put_action_interactions(self._store, key, body, now=now)
            case "/events":
                put = put_events(self._store, key, body, now=now)
            case "/actions":
                return {"actions": put_actions(self._store, self._catalogues, key, body)}
            case "/users":
                return {"users": put_users(self._store, key, body)}
            case "/items":
                return {"items": put_items(self._store, self._catalogues, key, body)}
            case _:
                raise Refused(UNKNOWN_OPERATION, f"There is no operation at {path}", status=404)
        return {"accepted": put.accepted, "duplicates": put.duplicates}
