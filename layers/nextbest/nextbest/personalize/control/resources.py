"""What operations of the control plane have in common: their request, the resources they name, pages of lists."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from nextbest.domain.access_keys import ADMIN, AccessKey
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.rebase_status import is_lost
from nextbest.errors import AlreadyExists, InvalidInput, NotFound
from nextbest.logic.authorization import open_program
from nextbest.personalize.protocol.arns import Arns, missing, name_in, stored_kind
from nextbest.personalize.protocol.errors import Refused
from nextbest.personalize.protocol.statuses import BUSY, CREATE_FAILED, CREATE_PENDING, STOPPED, STOPPING
from nextbest.store.base import ProgramState
from nextbest.store.bulk import BulkStore

MAX_TAGS = 50
DEFAULT_PAGE = 100

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What operations act on.

    ``start_rebase`` takes a program id and the name of a solution version, ``start_import`` the name of an import job;
    both return at once. ``random`` makes ids. ``import_rules`` say where files may be imported from.
    """

    store: BulkStore
    arns: Arns
    start_rebase: Callable[[str, str], None]
    start_import: Callable[[str], None]
    random: Random
    import_rules: ImportRules


@dataclass(frozen=True, slots=True)
class ControlCall:
    """One call, whose caller is authenticated. ``request`` has the members of the request, checked."""

    deployment: ControlPlane
    key: AccessKey
    request: Mapping[str, Any]
    now: float

    @property
    def store(self) -> BulkStore:
        return self.deployment.store

    def arn(self, kind: str, name: str) -> str:
        return self.deployment.arns.of(kind, name)

    def program(self, program_id: str, *, arn: str) -> ProgramState:
        """A program that the caller administers. Raises NotFound, Forbidden."""
        return open_program(self.store, self.key, program_id, ADMIN, hidden=missing(arn))

    def find(self, kind: str, member: str) -> Resource:
        """The resource whose ARN was given as ``member``. Raises InvalidInput, NotFound, Forbidden."""
        arn = self.request[member]
        return self.find_named(kind, name_in(arn, kind, field=member), arn)

    def find_named(self, kind: str, name: str, arn: str) -> Resource:
        """The resource ``name``, which the caller knows as ``arn``. Raises NotFound, Forbidden."""
        resource = self.store.resource(stored_kind(kind), name)
        if resource is None:
            raise missing(arn)
        self.key.require(resource["program_id"], ADMIN, hidden=missing(arn))
        return as_of(resource, self.now)

    def resources(self, kind: str, **criteria: str) -> Iterator[Resource]:
        """All resources of ``kind`` that the caller may see and whose members match ``criteria``, in order of names."""
        for resource in self.store.list_resources(stored_kind(kind)):
            if self.sees(resource) and all(resource.get(name) == value for name, value in criteria.items()):
                yield as_of(resource, self.now)

    def sees(self, resource: Resource) -> bool:
        return self.key.opens(resource["program_id"]) and self.key.allows(ADMIN)

    def create(self, kind: str, name: str, program_id: str, members: Mapping[str, Any]) -> Resource:
        """Store a new resource of a program, with the members of every resource. Raises AlreadyExists, Refused."""
        resource = {
            "name": name,
            "program_id": program_id,
            "created": self.now,
            "updated": self.now,
            "tags": tags_of(self.request.get("tags", [])),
            **members,
        }
        try:
            self.store.create_resource(stored_kind(kind), name, resource)
        except AlreadyExists as error:
            raise AlreadyExists(f"Another resource with Arn {self.arn(kind, name)} already exists.") from error
        return resource

    def change(self, kind: str, resource: Resource, **members: Any) -> Resource:
        """Store a resource with some members changed."""
        changed = {**resource, **members, "updated": self.now}
        self.store.put_resource(stored_kind(kind), resource["name"], changed)
        return changed

    def delete(self, kind: str, resource: Resource) -> None:
        """Remove a resource. Raises NotFound."""
        self.store.delete_resource(stored_kind(kind), resource["name"])


Operation = Callable[[ControlCall], Mapping[str, Any] | None]
"""Serves one operation, whose request was checked against AWS's own shapes. None: the operation has no output."""


@contextmanager
def narrowing(member: str) -> Iterator[None]:
    """Raise InvalidInput for NotFound: AWS models no ResourceNotFoundException where ``member`` narrows a list."""
    try:
        yield
    except NotFound as error:
        raise InvalidInput(error.message, field=member) from error


def narrowed_to(call: ControlCall, kind: str, member: str) -> str:
    """The name of the resource that a list is narrowed to; empty where it is not. Raises InvalidInput, Forbidden."""
    if member not in call.request:
        return ""
    with narrowing(member):
        return str(call.find(kind, member)["name"])


def page(
    call: ControlCall,
    matches: Iterator[Resource],
    key: str,
    render: Callable[[Resource], Mapping[str, Any]],
    *,
    scope: str = "",
) -> dict[str, Any]:
    """One page of a list in order of names. ``scope`` is what the list was narrowed to.

    A token contains the list it is for and the last name returned. Raises InvalidNextTokenException for any other.
    """
    last = _read_token(call.request["nextToken"], key, scope) if "nextToken" in call.request else ""
    size = call.request.get("maxResults", DEFAULT_PAGE)
    rows = list(islice((resource for resource in matches if resource["name"] > last), size + 1))
    token = _token(key, scope, rows[size - 1]["name"]) if len(rows) > size else None
    return {key: [render(resource) for resource in rows[:size]], "nextToken": token}


def _token(key: str, scope: str, last: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([key, scope, last]).encode()).decode()


def _read_token(token: str, key: str, scope: str) -> str:
    try:
        token_key, token_scope, last = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, TypeError) as error:
        raise _bad_token() from error
    if (token_key, token_scope) != (key, scope) or not isinstance(last, str):
        raise _bad_token()
    return last


def _bad_token() -> Refused:
    return Refused("InvalidNextTokenException", "The token is not valid for this list; begin again without one")


def as_of(resource: Resource, now: float) -> Resource:
    """The resource, as stopped or failed if the function that worked on it must have died; it then blocks nothing."""
    status = resource.get("status")
    if status in BUSY and is_lost(now - resource["updated"], waiting=status == CREATE_PENDING):
        if status == STOPPING:
            return {**resource, "status": STOPPED}
        return {**resource, "status": CREATE_FAILED, "failure": "It was interrupted; please create another"}
    return resource


def dates(resource: Resource) -> dict[str, float]:
    """The two timestamps of every resource: seconds since 1970, to the millisecond."""
    return {
        "creationDateTime": round(resource["created"], 3),
        "lastUpdatedDateTime": round(resource["updated"], 3),
    }


def tags_of(tags: list[dict[str, str]]) -> dict[str, str]:
    """Tags by key. Raises InvalidInput for repeated and reserved keys, TooManyTagsException."""
    by_key = {tag["tagKey"]: tag["tagValue"] for tag in tags}
    if len(by_key) < len(tags):
        raise InvalidInput("The tags hold one key twice", field="tags")
    check_tags(by_key)
    return by_key


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise InvalidInput for keys that AWS reserves, TooManyTagsException for more than 50 tags."""
    reserved = [key for key in tags if key.lower().startswith("aws:")]
    if reserved:
        raise InvalidInput(f"The tag key {reserved[0]} begins with aws:, which is reserved", field="tags")
    if len(tags) > MAX_TAGS:
        raise Refused("TooManyTagsException", f"A resource has at most {MAX_TAGS} tags")
