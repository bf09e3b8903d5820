"""POST /events. No pydantic where the request is plainly valid."""

from __future__ import annotations

from nextbest.actionhub.errors import render
from nextbest.actionhub.parsing import parse_post_events
from nextbest.actionhub.protocol import KEY_HEADER, ActionHubEndpoints
from nextbest.domain.access_keys import WRITE
from nextbest.logic.authorization import Gate, SecretCredentials, open_program
from nextbest.logic.events import queue_events, store_events
from nextbest.logic.request_quota import RequestQuota
from nextbest.store.base import MessageQueue, Store
from nextbest.web.request import Request
from nextbest.web.response import Response


class EventsEndpoint(ActionHubEndpoints):
    """Stores events, or queues them where the caller asks for that."""

    def __init__(self, store: Store, queue: MessageQueue, quota: RequestQuota) -> None:
        super().__init__(Gate(store))
        self._store = store
        self._queue = queue
        self._quota = quota

    def serve(self, request: Request, *, now: float) -> Response:
        """Take the events in. Raises InvalidRequest, Forbidden, NotFound, TooManyRequests."""
        key = self.gate.authenticate(SecretCredentials.read(request.headers.get(KEY_HEADER)), now=now)
        command = parse_post_events(request, now=now)
        state = open_program(self._store, key, command.program_id, WRITE)
        program, events = state.program, command.events
        self._quota.take(program.incarnation, now=now)
        if command.queue_updates:
            messages = queue_events(
                self._queue, program, events, refresh_histories=command.process_user_actions, now=now
            )
            body: dict[str, object] = {"result": f"queued {len(events)} events", "queued": len(events)}
            fields = {"program": program.program_id, "queued": len(events), "messages": messages}
            return Response(200, render(body), fields=fields)
        stored = store_events(self._store, program, events, refresh_histories=command.process_user_actions)
        counts = {"accepted": stored.accepted, "duplicates": stored.duplicates}
        body = {"result": f"accepted {stored.accepted} events, {stored.duplicates} duplicates", **counts}
        return Response(200, render(body), fields={"program": program.program_id, **counts})
