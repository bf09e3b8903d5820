"""The lease of a program: whoever holds it is the only one that trains the program and publishes what it learned.

    holder, expires_at, running     who holds it, until when (seconds since 1970), and for what
    waiting                         what others were to do meanwhile: a set, so that a request that comes twice is one
    starting, starter               what waited, after ``starter`` released the lease: it is being started
    job_run                         the run of the Spark job that holds the lease, or is about to

Nothing that waits is lost. It is added only while there is a holder, and a holder releases only what it has seen
waiting, which stays in the item until all of it was started. A lease that expired, as its holder was killed, is taken
over with all that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nextbest.aws.table import Item, ItemKey, WriteRefused, key_of, text
from nextbest.domain.programs import Incarnation
from nextbest.errors import Unavailable
from nextbest.store import keys
from nextbest.store.base import Store
from nextbest.store.configuration import Configuration

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a program, as read. ``running`` is what it is held for, ``left`` what waits or is being started.

    ``job_run`` is the id of the Spark job's run that it was handed over to, empty where it was not.
    """

    holder: str
    expires_at: float
    running: str
    left: frozenset[str]
    job_run: str = ""

    def is_held(self, now: float) -> bool:
        """Whether somebody may be at work at ``now`` (seconds since 1970)."""
        return bool(self.holder) and self.expires_at > now


class LeaseStore(Store, Protocol):
    """A store whose programs have leases."""

    def take_lease(
        self, incarnation: Incarnation, holder: str, running: str, *, now: float, expires_at: float
    ) -> bool: ...

    def hand_over_lease(
        self, incarnation: Incarnation, holder: str, to: str, *, expires_at: float, job_run: str = ""
    ) -> bool: ...

    def wait_for_lease(self, incarnation: Incarnation, waiting: str, *, now: float) -> bool: ...

    def release_lease(self, incarnation: Incarnation, holder: str) -> list[str]: ...

    def forget_started(self, incarnation: Incarnation, started: Collection[str]) -> None: ...

    def leases(self, incarnations: Iterable[Incarnation]) -> dict[Incarnation, Lease]: ...


class Leases(Configuration):
    """The leases of one table. A part of ``DynamoStore``."""

    def take_lease(self, incarnation: Incarnation, holder: str, running: str, *, now: float, expires_at: float) -> bool:
        """Take the lease if nobody holds it, if it expired, or if ``holder`` has it already; whether it was taken.

        ``running`` is what it is taken for; if the same waits, this is it. Raises NotFound.
        """
        return self._write_while_it_lives(
            incarnation,
            {
                "Update": {
                    "TableName": self._table.name,
                    "Key": key_of(_lease_key(incarnation)),
                    "UpdateExpression": "SET holder = :holder, expires_at = :until, running = :running "
                    "REMOVE job_run DELETE waiting :served, starting :served",
                    "ConditionExpression": "attribute_not_exists(holder) OR holder = :holder OR expires_at <= :now",
                    "ExpressionAttributeValues": {
                        ":holder": {"S": holder},
                        ":now": {"N": repr(now)},
                        ":until": {"N": repr(expires_at)},
                        ":running": {"S": running},
                        ":served": {"SS": [running]},
                    },
                }
            },
        )

    def hand_over_lease(
        self, incarnation: Incarnation, holder: str, to: str, *, expires_at: float, job_run: str = ""
    ) -> bool:
        """Let ``to`` hold the lease in place of ``holder``, who may be the same; False where ``holder`` has it no more.

        One that expired is still the holder's as long as nobody else took it. Raises NotFound.
        """
        values: dict[str, AttributeValueTypeDef] = {
            ":holder": {"S": holder},
            ":to": {"S": to},
            ":until": {"N": repr(expires_at)},
        }
        expression = "SET holder = :to, expires_at = :until"
        if job_run:
            expression, values[":run"] = f"{expression}, job_run = :run", {"S": job_run}
        return self._write_while_it_lives(
            incarnation,
            {
                "Update": {
                    "TableName": self._table.name,
                    "Key": key_of(_lease_key(incarnation)),
                    "UpdateExpression": expression,
                    "ConditionExpression": "holder = :holder",
                    "ExpressionAttributeValues": values,
                }
            },
        )

    def wait_for_lease(self, incarnation: Incarnation, waiting: str, *, now: float) -> bool:
        """Leave ``waiting`` to the holder, who starts it afterwards; False if there is no holder any more."""
        values: Item = {":waiting": {"SS": [waiting]}, ":now": {"N": repr(now)}}
        condition = "attribute_exists(holder) AND expires_at > :now"
        try:
            self._table.update(_lease_key(incarnation), "ADD waiting :waiting", values, condition=condition)
        except WriteRefused:
            return False
        return True

    def release_lease(self, incarnation: Incarnation, holder: str) -> list[str]:
        """Release the lease; what waited, which the caller has to start. Nothing if somebody else holds it by now.

        Can be repeated until ``forget_started``: a release whose response was lost returns the same. Raises
        Unavailable.
        """
        key = _lease_key(incarnation)
        for _ in self._table.backoff.tries():
            item = self._table.get(key)
            if item is None or item.get("holder", {}).get("S") != holder:
                is_ours = item is not None and "holder" not in item and item.get("starter", {}).get("S") == holder
                return sorted(_members(item or {}, "starting")) if is_ours else []
            waiting = _members(item, "waiting")
            left = sorted(waiting | _members(item, "starting"))
            unchanged = "waiting = :seen" if waiting else "attribute_not_exists(waiting)"
            condition, values = f"holder = :holder AND {unchanged}", {":holder": item["holder"]}
            if waiting:
                values[":seen"] = item["waiting"]
            with suppress(WriteRefused):  # more came in meanwhile
                if left:
                    expression = "SET starting = :left, starter = :holder "
                    expression += "REMOVE holder, expires_at, running, waiting, job_run"
                    self._table.update(key, expression, {**values, ":left": {"SS": left}}, condition=condition)
                else:
                    self._table.delete(key, condition=condition, values=values)
                return left
        raise Unavailable("the lease could not be released, as more and more waits for it; please try again")

    def forget_started(self, incarnation: Incarnation, started: Collection[str]) -> None:
        """Forget what waited, once it was started."""
        values: Item = {":started": {"SS": sorted(started)}}
        with suppress(WriteRefused):  # the program was deleted
            self._table.update(
                _lease_key(incarnation), "DELETE starting :started", values, condition="attribute_exists(starting)"
            )

    def leases(self, incarnations: Iterable[Incarnation]) -> dict[Incarnation, Lease]:
        """The leases of programs, of those that have one. A round trip for every 100."""
        item_keys = {incarnation: _lease_key(incarnation) for incarnation in incarnations}
        items = self._table.get_all(list(item_keys.values()))
        return {incarnation: _lease(items[key]) for incarnation, key in item_keys.items() if key in items}


def _lease(item: Item) -> Lease:
    return Lease(
        text(item, "holder") if "holder" in item else "",
        float(item["expires_at"]["N"]) if "expires_at" in item else 0.0,
        text(item, "running") if "running" in item else "",
        frozenset(_members(item, "waiting") | _members(item, "starting")),
        text(item, "job_run") if "job_run" in item else "",
    )


def _members(item: Item, name: str) -> set[str]:
    """The members of a set of strings; DynamoDB has no empty ones."""
    return set(item[name]["SS"]) if name in item else set()


def _lease_key(incarnation: Incarnation) -> ItemKey:
    return ItemKey(keys.incarnation_pk(incarnation), keys.LEASE)
