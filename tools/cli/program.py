"""A program's rebase and its campaign lists, through the public API of the server that holds it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from nextbest.domain.rebase_status import COMPLETE, FAILED
from tools.cli.load_client import Server, decode, refusal
from tools.cli.load_errors import ServerRefuses

POLL_SECONDS = 0.25
_MOST_ACTIONS = 100
"""As many as one answer lists."""


class RebaseFailed(Exception):
    """A rebase did not end well; the message says how, and completes "the rebase of ..."."""


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A user to address: the probability of the action now, and the reason as a sentence."""

    user_id: str
    growth_weight: float
    reason: str


def rebase(
    call: Callable[[str, str], Any],
    *,
    pause: Callable[[float], object],
    clock: Callable[[], float],
    timeout_seconds: float,
    report: Callable[[str], object],
) -> str:
    """Start the rebase of a program, wait for its end, and return the last message of its status.

    ``call`` sends a method and a path, and returns the JSON of the answer; ``clock`` is a monotonic clock and ``pause``
    waits, both in seconds. ``report`` is called with each new message. Raises RebaseFailed, also where it takes longer,
    and what ``call`` raises.
    """
    call("PUT", "/program/rebase")
    deadline = clock() + timeout_seconds
    last = ""
    while True:
        status = call("GET", "/program/status")
        message = str(status["message"])
        if status["status_id"] == COMPLETE:
            return message
        if status["status_id"] == FAILED:
            raise RebaseFailed(f"failed: {message}")
        if message != last:
            report(message)
            last = message
        if clock() > deadline:
            raise RebaseFailed(f"has not ended: {message}")
        pause(POLL_SECONDS)


def campaign(
    server: Server, event_type: str, asset_id: str, *, min_weight: float, limit: int, allow_repeats: bool
) -> Iterator[CampaignRow]:
    """The users likeliest to take an action, from the segment of the last rebase, each with the weight of this moment.

    At most ``limit`` users, those of the largest weights in the segment, in their order. Without ``allow_repeats`` only
    users who have never taken it. Left out are users for whom the action is not among the first hundred of its event
    type any more, or whose weight has fallen below ``min_weight``. Raises ServerRefuses.
    """
    query = {
        "asset_ids": asset_id,
        "action_types": event_type,
        "segment_type": "growth" if allow_repeats else "discovery",
        "min_weight": min_weight,
        "format": "csv",
    }
    status, data = server.send("GET", f"/segment?{urlencode(query)}")
    if status != 200:
        raise ServerRefuses(f"program {server.program}: {refusal(status, decode(status, data))}")
    members = list(csv.DictReader(data.decode().splitlines()))
    members.sort(key=lambda member: -float(member["weight"]))
    options = {"event_types": event_type, "limit": _MOST_ACTIONS, "allow_repeats": allow_repeats, "explain": True}
    for member in members[:limit]:
        path = f"/users/{quote(member['user_id'], safe='')}/actions?{urlencode(options)}"
        answer = json_of(server, "GET", path)
        for action in answer["actions"]:
            if action["asset_id"] == asset_id and action["growth_weight"] >= min_weight:
                yield CampaignRow(member["user_id"], action["growth_weight"], action["explanation"]["sentence"])


def json_of(server: Server, method: str, path: str) -> Any:
    """The JSON of a call's answer. Raises ServerRefuses where its status is another than 200."""
    status, answer = server.call(method, path)
    if status != 200:
        raise ServerRefuses(f"program {server.program}: {refusal(status, answer)}")
    return answer
