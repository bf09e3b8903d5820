"""What operations of the control plane have in common: their request, the resources they name, pages of lists.

A resource belongs to a program, and its name is the program's own: another program may have one of the same name. ARNs
do not say which program they are about, so the caller's key does (``ControlCall.find_named``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from nextbest.domain.access_keys import ADMIN, PROGRAM_ID, AccessKey
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.domain.rebase_status import is_lost
from nextbest.domain.resource_statuses import BUSY, CREATE_FAILED, CREATE_PENDING, STOPPED, STOPPING
from nextbest.errors import AlreadyExists, InUse, InvalidInput, NotFound
from nextbest.logic.authorization import open_program
from nextbest.logic.filters import MOST_FILTERS
from nextbest.logic.resources import Resource as Resource
from nextbest.logic.resources import add_resource, require_free, resources_named
from nextbest.personalize.control.implicit import (
    IMPLICIT,
    IMPLICIT_KINDS,
    dataset_groups_among,
    implicit_resources,
    is_dataset_group,
)
from nextbest.personalize.protocol.arns import (
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    FILTER,
    SCHEMA,
    SOLUTION,
    Arns,
    missing,
    name_in,
    owner_of,
)
from nextbest.personalize.protocol.errors import Refused
from nextbest.personalize.protocol.wire import parse_json
from nextbest.store.base import ArtifactStore, ProgramState
from nextbest.store.bulk import BulkStore

MAX_TAGS = 50
DEFAULT_PAGE = 100
MOST_RESOURCES = {SCHEMA: 500, SOLUTION: 100, CAMPAIGN: 100, FILTER: MOST_FILTERS}
"""How many resources of a kind a program may have: lists read them all."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What operations act on.

    ``start_rebase`` takes a program and the name of a solution version, ``start_import`` a program and the name of an
    import job; both return at once. ``cancel_job_run`` has the run of a Spark job cancelled. ``random`` makes ids.
    ``artifacts`` are the files that go with a program. ``import_rules`` say where files may be imported from.
    """

    store: BulkStore
    arns: Arns
    start_rebase: Callable[[Incarnation, str], None]
    start_import: Callable[[Incarnation, str], None]
    cancel_job_run: Callable[[str], None]
    random: Random
    artifacts: ArtifactStore
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

    def programs(self) -> Sequence[Incarnation]:
        """The programs that the caller administers; for an operator this reads all there are."""
        if not self.key.allows(ADMIN):
            return ()
        named = list(dict.fromkeys(self.key.programs))
        return named or [program.incarnation for program in self.store.list_programs()]

    def states(self, programs: Sequence[Incarnation] | None = None) -> list[ProgramState]:
        """The states of ``programs``, or of all that the caller administers, as far as they are there."""
        owners = self.programs() if programs is None else programs
        states = self.store.program_states(map(program_id_of, owners))
        return [state for state in states if self.key.opens(state.program.incarnation)]

    def program(self, program_id: str, *, arn: str) -> ProgramState:
        """A program that the caller administers. Raises NotFound, Forbidden."""
        return open_program(self.store, self.key, program_id, ADMIN, hidden=missing(arn))

    def present(self, program_id: str) -> Incarnation | None:
        """The present incarnation of a program, where the key names it or opens every program."""
        state = self._present_state(program_id)
        return state.program.incarnation if state is not None else None

    def _present_state(self, program_id: str) -> ProgramState | None:
        opened = self.key.opens_every_program or self.key.incarnation_of(program_id) is not None
        state = self.store.program_state(program_id) if opened and PROGRAM_ID.fullmatch(program_id) else None
        return state if state is not None and self.key.opens(state.program.incarnation) else None

    def find(self, kind: str, member: str) -> Resource:
        """The resource whose ARN was given as ``member``. Raises InvalidInput, NotFound, Forbidden."""
        arn = self.request[member]
        return self.find_named(kind, name_in(arn, kind, field=member), arn)

    def find_named(self, kind: str, name: str, arn: str, *, within: Incarnation | None = None) -> Resource:
        """The resource ``name``, which the caller knows as ``arn``, in the programs that the key opens.

        Where several of them have one, it is that of the program ``within``, else that of the program of the same name.
        Raises NotFound, Forbidden; InvalidInput where it could be any of several.
        """
        matches = self._matches(kind, name, within)
        if len(matches) > 1:
            preferred = [row for row in matches if owner_of(row) == within]
            matches = preferred or [row for row in matches if row["program_id"] == _namesake(name)] or matches
        if len(matches) > 1:
            raise InvalidInput(
                f"Several of the dataset groups that the access key opens have a resource {arn}; use a key of one"
            )
        if not matches:
            raise missing(arn)
        (resource,) = matches
        self.key.require(owner_of(resource), ADMIN, hidden=missing(arn))
        return as_of(resource, self.now)

    def _matches(self, kind: str, name: str, within: Incarnation | None) -> list[Resource]:
        """The resources of this name that the caller may mean; where there are none, what a program implicitly has."""
        return self._stored(kind, name, within) or self._implicit(kind, name)

    def _implicit(self, kind: str, name: str) -> list[Resource]:
        state = self._present_state(_namesake(name)) if kind in IMPLICIT_KINDS else None
        if state is None:
            return []
        stored = list(self.store.list_resources([state.program.incarnation], kind))
        is_group = is_dataset_group(self.store, state.program)
        resources = implicit_resources(self.store, state, kind, stored, is_group=is_group)
        return [resource for resource in resources if resource["name"] == name]

    def _stored(self, kind: str, name: str, within: Incarnation | None) -> list[Resource]:
        if not self.key.opens_every_program:
            return self.resources_named(kind, name, self.key.programs)
        # The likeliest first: looking through all programs takes reads for each.
        likely = [owner for owner in (within, self.present(_namesake(name))) if owner is not None]
        found = self.resources_named(kind, name, likely)
        if found or kind in (DATASET_GROUP, DATASET):  # these are named after the program they belong to
            return found
        return self.resources_named(kind, name, self.programs())

    def resources_named(self, kind: str, name: str, owners: Iterable[Incarnation]) -> list[Resource]:
        """The resources of this kind and name that these owners have."""
        return resources_named(self.store, kind, name, owners)

    def resources(self, kind: str, *, of: Incarnation | None = None, **criteria: str) -> Iterator[Resource]:
        """All resources of ``kind`` that the caller administers, of one program or all, and that match ``criteria``.

        Those of one program are in order of their names.
        """
        programs = self.programs() if of is None else [of] if self._administers(of) else []
        for resource in self.store.list_resources(programs, kind):
            if all(resource.get(name) == value for name, value in criteria.items()):
                yield as_of(resource, self.now)

    def listed(self, kind: str, *, of: Incarnation | None = None, **criteria: str) -> Iterator[Resource]:
        """All resources of ``kind`` as ``resources`` gives them, with those that the programs implicitly have."""
        if kind not in IMPLICIT_KINDS:
            yield from self.resources(kind, of=of, **criteria)
            return
        programs = self.programs() if of is None else [of] if self._administers(of) else []
        stored: dict[Incarnation, list[Resource]] = {program: [] for program in programs}
        for resource in self.store.list_resources(programs, kind):
            stored[owner_of(resource)].append(as_of(resource, self.now))
        states = self.states(programs)
        groups = dataset_groups_among(self.store, (state.program for state in states))
        for state in states:
            own = stored.get(state.program.incarnation, [])
            is_group = state.program.incarnation in groups
            for resource in (*own, *implicit_resources(self.store, state, kind, own, is_group=is_group)):
                if all(resource.get(name) == value for name, value in criteria.items()):
                    yield resource

    def _administers(self, incarnation: Incarnation) -> bool:
        return self.key.opens(incarnation) and self.key.allows(ADMIN)

    def create(self, kind: str, name: str, owner: Incarnation, members: Mapping[str, Any]) -> Resource:
        """Store a new resource of a program. Raises AlreadyExists, QuotaExceeded, Refused."""
        self.require_free(kind, name, [owner])
        return self.add(kind, name, owner, members)

    def require_free(self, kind: str, name: str, owners: Sequence[Incarnation]) -> None:
        """Raise AlreadyExists for a name that is taken, QuotaExceeded where an owner has no room for another.

        A name is also taken where another program has it that the key names: its holder could not tell the two apart.
        """
        with self.naming(kind, name):
            most = MOST_RESOURCES.get(kind)
            require_free(self.store, self.key, kind, name, owners, most=most, owner_noun="dataset group")

    def add(self, kind: str, name: str, owner: Incarnation, members: Mapping[str, Any]) -> Resource:
        """Store a new resource, with the members of every resource. Raises AlreadyExists, Refused."""
        tags = tags_of(self.request.get("tags", []))
        with self.naming(kind, name):
            return add_resource(self.store, kind, name, owner, members, tags=tags, now=self.now)

    @contextmanager
    def naming(self, kind: str, name: str) -> Iterator[None]:
        """Raise AlreadyExists of the body with the ARN of what has the name."""
        try:
            yield
        except AlreadyExists as error:
            raise AlreadyExists(f"Another resource with Arn {self.arn(kind, name)} already exists.") from error

    def change(self, kind: str, resource: Resource, **members: Any) -> Resource:
        """Store a resource with some members changed. Raises InUse for an implicit one."""
        self.require_stored(kind, resource)
        changed = {**resource, **members, "updated": self.now}
        self.store.put_resource(owner_of(resource), kind, resource["name"], changed)
        return changed

    @contextmanager
    def kept_if_started(self, kind: str, resource: Resource) -> Iterator[None]:
        """Remove a new resource where the body, which starts the work on it, fails: the call may be sent again."""
        is_started = False
        try:
            yield
            is_started = True
        finally:
            if not is_started:
                self.delete(kind, resource)

    def delete(self, kind: str, resource: Resource) -> None:
        """Remove a resource. Raises NotFound, InUse for an implicit one."""
        self.require_stored(kind, resource)
        self.store.delete_resource(owner_of(resource), kind, resource["name"])

    def require_stored(self, kind: str, resource: Resource) -> None:
        """Raise InUse for a resource that a dataset group implicitly has."""
        if resource.get(IMPLICIT):
            arn, group = self.arn(kind, resource["name"]), self.arn(DATASET_GROUP, resource["program_id"])
            raise InUse(f"{arn} comes with the dataset group {group}: it cannot be changed, and is deleted with it")


def _namesake(name: str) -> str:
    """The program that has the name of a resource: of a dataset its own, of a version one named like the solution."""
    return name.partition("/")[0]


Operation = Callable[[ControlCall], Mapping[str, Any] | None]
"""Serves one operation, whose request was checked against AWS's own shapes. None: the operation has no output."""


@contextmanager
def narrowing(member: str) -> Iterator[None]:
    """Raise InvalidInput for NotFound: AWS models no ResourceNotFoundException where ``member`` narrows a list."""
    try:
        yield
    except NotFound as error:
        raise InvalidInput(error.message, field=member) from error


def narrowed_to(call: ControlCall, kind: str, member: str) -> Resource | None:
    """The resource that a list is narrowed to; None where it is not. Raises InvalidInput, Forbidden."""
    if member not in call.request:
        return None
    with narrowing(member):
        return call.find(kind, member)


def page(
    call: ControlCall,
    matches: Iterable[Resource],
    key: str,
    render: Callable[[Resource], Mapping[str, Any]],
    *,
    scope: str = "",
) -> dict[str, Any]:
    """One page of a list in order of names. ``scope`` is what the list was narrowed to.

    A token contains the list it is for and the last resource returned. Raises InvalidNextTokenException for any other.
    """
    last = _read_token(call.request["nextToken"], key, scope) if "nextToken" in call.request else ("", "")
    size = call.request.get("maxResults", DEFAULT_PAGE)
    rows = sorted((resource for resource in matches if _place(resource) > last), key=_place)[: size + 1]
    token = _token(key, scope, _place(rows[size - 1])) if len(rows) > size else None
    return {key: [render(resource) for resource in rows[:size]], "nextToken": token}


def _place(resource: Resource) -> tuple[str, str]:
    """Where a resource stands in a list: several programs may have one of the same name."""
    return resource["name"], resource.get("program_id", "")


def _token(key: str, scope: str, last: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([key, scope, *last]).encode()).decode()


def _read_token(token: str, key: str, scope: str) -> tuple[str, str]:
    try:
        content = parse_json(base64.b64decode(token, altchars=b"-_", validate=True).decode())
    except ValueError as error:
        raise _bad_token() from error
    match content:
        case [token_key, token_scope, str() as name, str() as program_id] if (token_key, token_scope) == (key, scope):
            return name, program_id
    raise _bad_token()


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
