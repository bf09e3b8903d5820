"""The protocols that the logic is written against; ``dynamo.py`` and ``artifacts.py`` implement them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nextbest.domain.access_keys import AccessKey
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.history import History
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import CannotBeStored

if TYPE_CHECKING:
    from nextbest.domain.dead_letters import DeadLetter
    from nextbest.domain.event_columns import EventColumns, Times
    from nextbest.domain.experiments import Experiment

DEPLOYMENT = Incarnation("")
"""The owner of resources that belong to no program. No incarnation of a program is spelled so."""


EXPERIMENT = "experiment"
"""The kind of the items that are a program's experiments."""
FILTER = "filter"
"""The kind of resources that are a program's named filters; both dialects read them."""
SOLUTION, VERSION, CAMPAIGN = "solution", "solution-version", "campaign"
"""The kinds of resources that say how a program is trained, each training there was, and what serves it."""


class ResourceKey(NamedTuple):
    """What identifies a named resource: two programs may give the same name to resources of the same kind."""

    owner: Incarnation
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class ModelPointer:
    """The artifact of a program's model: ``version`` orders models in time, ``key`` is its name in the bucket."""

    version: str
    key: str


@dataclass(frozen=True, slots=True)
class SegmentsPointer:
    """Written segments, as of ``computed_at`` (seconds since 1970), under ``prefix``.

    ``manifest`` is the key of the file that names their parts; empty for earlier ones, which are a file for each
    kind.
    """

    version: str
    prefix: str
    computed_at: float
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """``count`` bytes of an artifact, from the one numbered ``begin`` on."""

    key: str
    begin: int
    count: int


@dataclass(frozen=True, slots=True)
class CataloguePointer:
    """A written catalogue: the state of the assets after ``revision``."""

    revision: int
    key: str


@dataclass(frozen=True, slots=True)
class ProgramState:
    """A program's settings and current artifacts. ``previous_model`` is used where ``model`` cannot be read.

    ``experiments`` are those that run. For a user whom a challenger serves, ``variant`` tells its settings from the
    program's own, and with ``is_pinned`` the model is one that the challenger names.
    """

    program: Program
    model: ModelPointer | None = None
    catalogue: CataloguePointer | None = None
    catalogue_revision: int = 0
    label_weights: Mapping[str, float] = field(default_factory=dict)
    previous_model: ModelPointer | None = None
    experiments: tuple[Experiment, ...] = ()
    variant: str = ""
    is_pinned: bool = False

    @property
    def model_place(self) -> str:
        """What the model, and what is made of it alone, are cached under: a model of a challenger by its version."""
        if self.is_pinned and self.model is not None:
            return f"{self.program.incarnation}/{self.model.version}"
        return self.program.incarnation


@dataclass(frozen=True, slots=True)
class ExperimentChange:
    """What a change makes of an experiment, None to delete it; and of its program's settings and model, None: as is."""

    experiment: Experiment | None
    program: Program | None = None
    model: ModelPointer | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Progress of a program's rebase; ``status_id`` is one of ``domain.rebase_status``."""

    incarnation: Incarnation
    status_id: str
    message: str
    timestamp: float


@dataclass(frozen=True, slots=True)
class Appended:
    """The outcome of storing a batch of events.

    ``histories_behind`` counts users whose events are stored, but not in their history before the next rebase.
    """

    accepted: int
    duplicates: int
    histories_behind: int = 0


class EventsRefused(CannotBeStored):
    """Events of a batch that cannot be stored; all others of the batch are. ``reasons`` are by place, from 0."""

    reasons: Mapping[int, str] = {}

    @classmethod
    def of(cls, reasons: Mapping[int, str]) -> EventsRefused:
        """The error for these events, which names the first one."""
        place, reason = next(iter(reasons.items()))
        more = f"; nor can {len(reasons) - 1} others" if len(reasons) > 1 else ""
        problem = f"event {place}, counted from 0, cannot be stored: {reason}{more}"
        error = cls(f"{problem}. The other events are stored", field=f"events.{place}")
        error.reasons = reasons
        return error


@dataclass(frozen=True, slots=True)
class Erased:
    """What deleting a user removed. ``sessions`` are the ids of the user's sessions, which were removed with them."""

    events: int
    histories: int
    attributes: int
    sessions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UserRead:
    """The result of one read of a user. ``history`` is None for an unknown user.

    ``salt`` is what the user's hash in decisions is made with; None where none was stored yet.
    """

    history: History | None
    attributes: Mapping[str, Any] | None
    state: ProgramState | None
    access_key: AccessKey | None
    resources: Mapping[tuple[str, str], Mapping[str, Any] | None]
    salt: bytes | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events of a user, in order; ``next_position`` is where to go on, None where there are no more."""

    events: Sequence[Event]
    next_position: str | None


class UserStore(Protocol):
    """Events and histories."""

    def append(self, program: Program, events: Sequence[Event], *, refresh_histories: bool = True) -> Appended:
        """Store events, and with ``refresh_histories`` add them to their users' histories. Idempotent.

        Raises EventsRefused for events that cannot be stored, once all others are.
        """
        ...

    def log_events(self, program: Program, events: Sequence[Event]) -> Appended:
        """Log events and leave histories alone: ``mark_users`` has to follow. Raises EventsRefused."""
        ...

    def mark_users(self, program: Program, user_ids: Iterable[str]) -> None:
        """Mark the histories of users as lacking events of the log; the next rebase rebuilds them."""
        ...

    def read_user(
        self,
        incarnation: Incarnation,
        user_id: str,
        *,
        with_state: bool = True,
        access_key_id: str | None = None,
        resources: Sequence[tuple[str, str]] = (),
        admit: Callable[[AccessKey | None], object] | None = None,
    ) -> UserRead:
        """The user's history, and the configuration that the caller needs up to date, in one round trip.

        ``resources`` are kinds and names of the program's own. The state is that of whichever incarnation has the
        program id now; the rest is of the one that was expected. ``admit`` gets the key before anything of the user is
        decoded; what it raises ends the read.
        """
        ...

    def history_from_log(self, incarnation: Incarnation, user_id: str) -> History:
        """A history built from the event log."""
        ...

    def rebuild_history(self, program: Program, user_id: str) -> bool:
        """Rebuild a stored history from the log; False for a user without events. Raises CannotBeStored."""
        ...

    def rebuild_histories(self, program: Program, user_ids: Iterable[str]) -> list[str]:
        """Rebuild histories from the log; the users with whom that was not possible."""
        ...

    def events_of(self, incarnation: Incarnation, user_id: str) -> Iterator[Event]:
        """The user's events, oldest first."""
        ...

    def page_of_events(
        self,
        incarnation: Incarnation,
        user_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> EventPage:
        """At most ``limit`` of the user's events beyond a position, at the cost of one bounded read.

        Raises InvalidInput for a position that is none.
        """
        ...

    def users(self, incarnation: Incarnation) -> Iterator[str]:
        """The users of a program who have a history, in no particular order."""
        ...

    def user_salts(self, incarnation: Incarnation) -> Iterator[tuple[str, bytes]]:
        """The users of a program and what their hashes in decisions are made with; without a salt they are left out."""
        ...

    def backfilled_users(self, incarnation: Incarnation) -> Iterator[str]:
        """Users with logged events that were stored without ``refresh_histories`` and await a rebuild."""
        ...

    def outdated_among(self, incarnation: Incarnation, logged: Mapping[str, Times]) -> Iterator[str]:
        """The same as ``outdated_users``, among the users of ``logged`` alone, whose histories are read one by one."""
        ...

    def outdated_users(self, incarnation: Incarnation, logged: Mapping[str, Times]) -> Iterator[str]:
        """Users whose history lacks events of the log; ``logged`` has each user's event times, ascending, in µs."""
        ...

    def put_user_attributes(self, incarnation: Incarnation, user_id: str, attributes: Mapping[str, Any]) -> None:
        """Replace the user's attributes (a Personalize Users row)."""
        ...

    def user_attributes(self, incarnation: Incarnation, user_id: str) -> Mapping[str, Any] | None:
        """The user's attributes, where a Users row was put."""
        ...

    def erase_user(self, incarnation: Incarnation, user_id: str, *, now: float) -> Erased:
        """Delete all data of a user and of their sessions, and record it, so that events still queued are dropped."""
        ...

    def last_erased_us(self, incarnation: Incarnation, user_ids: Sequence[str]) -> int:
        """When the last of these users was erased, in microseconds since 1970; -1 where none was."""
        ...

    def claim_session(self, incarnation: Incarnation, session_id: str, user_id: str) -> bool:
        """Whether a session is the user's: it belongs to the first who claims it."""
        ...

    def forget_events(self, program: Program, user_id: str, events: Sequence[Event]) -> None:
        """Remove events of a user from the log, and from the history."""
        ...

    def erased_since(self, incarnation: Incarnation, user_ids: Sequence[str], since_us: int) -> set[str]:
        """Those of ``user_ids`` who were erased at that time (microseconds since 1970) or later."""
        ...

    def scan_events(
        self,
        incarnation: Incarnation,
        *,
        unreadable: Callable[[str], object] = lambda _: None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> EventColumns:
        """All events of a program. ``unreadable`` is called with the user of each row that cannot be read.

        Now and then ``progress`` is called with how many events there are at least; what it raises ends the scan.
        """
        ...

    def scan_logged_events(self, incarnation: Incarnation) -> Iterator[Event]:
        """All events of a program with all that is kept of them, in no particular order.

        Rows that cannot be read are left out with a warning. ``scan_events`` reads less.
        """
        ...

    def finish_imports(self, program: Program) -> None:
        """Finish the imports that were committed, and interrupted before all was in its place."""
        ...


class ResourceStore(Protocol):
    """Named resources, each of a program or of the deployment."""

    def create_resource(self, owner: Incarnation, kind: str, name: str, resource: Mapping[str, Any]) -> None: ...

    def put_resource(self, owner: Incarnation, kind: str, name: str, resource: Mapping[str, Any]) -> None: ...

    def replace_resource(
        self, owner: Incarnation, kind: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> bool: ...

    def resource(self, owner: Incarnation, kind: str, name: str) -> Mapping[str, Any] | None: ...

    def find_resources(self, wanted: Iterable[ResourceKey]) -> dict[ResourceKey, Mapping[str, Any]]: ...

    def delete_resource(self, owner: Incarnation, kind: str, name: str) -> None: ...

    def list_resources(self, owners: Sequence[Incarnation], kind: str) -> Iterator[Mapping[str, Any]]: ...


class ExperimentStore(Protocol):
    """The experiments of programs."""

    def create_experiment(self, incarnation: Incarnation, experiment: Experiment) -> None: ...

    def experiment(self, incarnation: Incarnation, experiment_id: str) -> Experiment: ...

    def experiments(self, incarnation: Incarnation) -> Iterator[Experiment]: ...

    def change_experiment(
        self,
        incarnation: Incarnation,
        experiment_id: str,
        change: Callable[[ProgramState, Experiment], ExperimentChange],
    ) -> None: ...


class ConfigurationStore(ResourceStore, ExperimentStore, Protocol):
    """Programs, keys, labels, assets and named resources."""

    def program_state(self, program_id: str) -> ProgramState | None: ...

    def create_program(self, program: Program) -> None: ...

    def update_program(self, program: Program) -> None: ...

    def change_program(self, incarnation: Incarnation, change: Callable[[Program], Program]) -> Program: ...

    def list_programs(self) -> list[Program]: ...

    def program_ids(self) -> list[str]: ...

    def program_states(self, program_ids: Iterable[str]) -> list[ProgramState]: ...

    def page_of_programs(self, after: str | None, limit: int) -> tuple[list[Program], str | None]: ...

    def point_to_model(self, incarnation: Incarnation, pointer: ModelPointer) -> bool: ...

    def note_rebase(self, incarnation: Incarnation, *, now: float) -> None: ...

    def note_unfinished_rebase(self, incarnation: Incarnation) -> None:
        """Note that the next rebase has something to do even if nothing changes. Raises NotFound."""
        ...

    def exchange_models(self, incarnation: Incarnation, serving: ModelPointer, previous: ModelPointer) -> bool: ...

    def forget_model(self, incarnation: Incarnation) -> None: ...

    def segments(self, incarnation: Incarnation) -> SegmentsPointer | None: ...

    def point_to_segments(
        self, incarnation: Incarnation, pointer: SegmentsPointer, *, instead_of: SegmentsPointer | None = None
    ) -> bool: ...

    def forget_segments(self, incarnation: Incarnation) -> None: ...

    def put_status(self, status: Status) -> None: ...

    def replace_status(self, old: Status, new: Status) -> bool: ...

    def status(self, incarnation: Incarnation) -> Status | None: ...

    def put_access_key(self, key: AccessKey) -> None: ...

    def access_key(self, key_id: str) -> AccessKey | None: ...

    def access_keys(self) -> Iterator[AccessKey]: ...

    def page_of_access_keys(self, after: str | None, limit: int) -> tuple[list[AccessKey], str | None]: ...

    def access_keys_of(self, incarnation: Incarnation) -> list[AccessKey]: ...

    def page_of_access_keys_of(
        self, incarnations: Sequence[Incarnation], after: str | None, limit: int
    ) -> tuple[list[AccessKey], str | None]: ...

    def count_access_keys_of(self, incarnation: Incarnation) -> int: ...

    def remove_access_key(self, key: AccessKey) -> None: ...

    def change_access_key(self, key_id: str, change: Callable[[AccessKey | None], AccessKey]) -> AccessKey: ...

    def put_assets(self, incarnation: Incarnation, assets: Sequence[Asset]) -> int: ...

    def assets(self, incarnation: Incarnation) -> Iterator[Asset]: ...

    def asset_changes(self, incarnation: Incarnation, after: int, until: int) -> list[tuple[int, list[Asset]]]: ...

    def point_to_catalogue(self, incarnation: Incarnation, pointer: CataloguePointer) -> bool: ...

    def put_label_weights(self, incarnation: Incarnation, weights: Mapping[str, float]) -> None: ...

    def import_locations(self, incarnation: Incarnation) -> tuple[str, ...]: ...

    def put_import_locations(self, incarnation: Incarnation, locations: Sequence[str]) -> None: ...


class Store(UserStore, ConfigurationStore, Protocol):
    """Both."""


class ArtifactStore(Protocol):
    """Immutable, versioned files: models, catalogues, segments."""

    def put(self, key: str, data: bytes) -> None: ...

    def put_stream(self, key: str, pieces: Iterator[bytes], *, content_type: str, filename: str) -> None: ...

    def get(self, key: str) -> bytes: ...

    def get_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]: ...

    def download_url(self, key: str, *, seconds: int) -> str: ...

    def names(self, prefix: str) -> list[str]: ...

    def delete_all(self, prefix: str, *, before: str | None = None, keep: Container[str] = ()) -> int: ...


class MessageQueue(Protocol):
    """A durable queue of text messages."""

    def send(self, messages: Sequence[str]) -> None: ...


class EventQueue(MessageQueue, Protocol):
    """A queue of messages that says how many wait."""

    def count(self) -> int: ...


class DeadLetterQueue(Protocol):
    """A queue of what failed for good."""

    def receive(self, hidden_seconds: int) -> list[DeadLetter]: ...

    def release(self, letter: DeadLetter) -> None: ...

    def delete(self, letter: DeadLetter) -> None: ...

    def count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Traffic:
    """Answers of a program in the last hour: how many, and the latencies (ms) that half and 99 % of them stay under."""

    requests: int
    median_ms: float | None
    p99_ms: float | None


class TrafficReader(Protocol):
    """Says how much traffic a program has."""

    def last_hour(self, program_id: str, *, now: float) -> Traffic | None:
        """The traffic of the hour before ``now`` (seconds since 1970); None where it is not known."""
        ...


MasterSecret = Callable[[], str]
"""Gives the secret that access keys are derived from. Raises what a call to AWS raises, where it cannot be read."""


def events_by_user(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Events grouped by user, in order of first appearance."""
    groups: dict[str, list[Event]] = {}
    for event in events:
        groups.setdefault(event.user_id, []).append(event)
    return groups
