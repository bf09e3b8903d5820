"""Keys of the one table, in one place.

    pk                          sk                              holds
    <incarnation>#U#<user>      E#<time>#<type>#<asset>[#<id>]  one event: the truth
    <incarnation>#U#<user>      H0                              packed history, user attributes
    <incarnation>#U#<user>      H1                              tail: events not folded yet
    <incarnation>#U#<user>      I#<digest of an event id>       the event that has this id of the client's
    <incarnation>#U#<session>   O                               digest of the user whose session it is
    <incarnation>               S                               rebase status
    <incarnation>               G                               pointer to the segments
    <incarnation>               I                               folders that the program may import from
    <incarnation>               L                               lease: who trains the program, and what waits for it
    <incarnation>               M                               attempts at imports
    <incarnation>#A             <asset>                         asset
    <incarnation>#D             <revision>                      assets put in that revision
    <incarnation>#T             <digest of a user id>           tombstone of a deleted user
    <incarnation>#R             <kind>#<name>                   Personalize resource, e.g. a filter; experiment
    <incarnation>#K             <key id>                        index of the access keys that open the program
    <program>                   P                               incarnation, settings, pointers, catalogue revision,
                                                                experiments that run
    #R                          <kind>#<name>                   Personalize resource of the deployment itself
    key                         <key id>                        access key
    programs                    <program>                       index of programs
    #idempotency                <route>#<digest>                what a creating call answered

All that belongs to a program but its own item is under its incarnation, one life of its id (``domain/programs.py``).
Names from clients are escaped, so that no name can collide with the keys of another.
"""

from __future__ import annotations

from hashlib import sha256

from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation
from nextbest.errors import EventCorrupt, InvalidInput

HISTORY = "H0"
TAIL = "H1"
HISTORY_PREFIX = "H"
EVENT_PREFIX = "E#"
EVENT_ID_PREFIX = "I#"
SESSION_OWNER = "O"
PROGRAM = "P"
STATUS = "S"
SEGMENTS = "G"
IMPORT_LOCATIONS = "I"
LEASE = "L"
IMPORTS = "M"
ACCESS_KEYS = "key"
PROGRAMS = "programs"
IDEMPOTENCY = "#idempotency"  # a program's id is never spelled so
_SORT_KEY_BYTES = 1024  # DynamoDB's limit
_TIME_DIGITS = 18


def escape(name: str) -> str:
    """``name`` without ``#``: reversible, and order among names without ``%`` and ``#`` is kept."""
    return name.replace("%", "%25").replace("#", "%23")


def unescape(name: str) -> str:
    """Inverse of ``escape``."""
    return name.replace("%23", "#").replace("%25", "%") if "%" in name else name


def program_pk(program_id: str) -> str:
    """A program's own partition, apart from those of all keys and of all programs, whatever the program is called."""
    return f"%{program_id}" if program_id in (ACCESS_KEYS, PROGRAMS) else escape(program_id)


def incarnation_pk(incarnation: Incarnation) -> str:
    return program_pk(incarnation)


def incarnation_prefix(incarnation: Incarnation) -> str:
    """What all other partition keys of an incarnation begin with."""
    return f"{escape(incarnation)}#"


def users_prefix(incarnation: Incarnation) -> str:
    """What the partition keys of all users of a program begin with."""
    return f"{escape(incarnation)}#U#"


def user_pk(incarnation: Incarnation, user_id: str) -> str:
    return users_prefix(incarnation) + escape(user_id)


def assets_pk(incarnation: Incarnation) -> str:
    return f"{escape(incarnation)}#A"


def asset_changes_pk(incarnation: Incarnation) -> str:
    return f"{escape(incarnation)}#D"


def tombstones_pk(incarnation: Incarnation) -> str:
    return f"{escape(incarnation)}#T"


def access_keys_pk(incarnation: Incarnation) -> str:
    return f"{escape(incarnation)}#K"


def resources_pk(owner: Incarnation) -> str:
    return f"{escape(owner)}#R"


def resource_prefix(kind: str) -> str:
    """What the sort keys of all resources of a kind begin with."""
    return f"{kind}#"


def resource_sk(kind: str, name: str) -> str:
    """Sort key of a resource: its name, or a digest of it where that is too long for a key."""
    sk = resource_prefix(kind) + escape(name)
    # Sessions and tracking ids have up to 256 characters, of up to four bytes.
    if len(sk) > _SORT_KEY_BYTES // 4 and len(sk.encode()) > _SORT_KEY_BYTES:
        return f"{resource_prefix(kind)}%{sha256(name.encode()).hexdigest()}"
    return sk


def revision_sk(revision: int) -> str:
    return f"{revision:012d}"


def event_sk(event: Event) -> str:
    """Sort key of an event: its identity, in order of time. Raises InvalidInput for names too long to store."""
    parts = [f"{event.timestamp_us:0{_TIME_DIGITS}d}", escape(event.event_type), escape(event.asset_id)]
    if event.event_id:
        parts.append(escape(event.event_id))
    sk = EVENT_PREFIX + "#".join(parts)
    if len(sk.encode()) > _SORT_KEY_BYTES:
        problem = "the type of the event, the id of what it is about and its own id together exceed"
        raise InvalidInput(f"{problem} {_SORT_KEY_BYTES - 32} bytes", field="asset_id")
    return sk


def event_id_sk(event_id: str) -> str:
    """Sort key of the record of a client's event id: a digest, since an id has up to 256 characters of four bytes."""
    return EVENT_ID_PREFIX + sha256(event_id.encode()).hexdigest()


def parse_event_sk(sk: str) -> tuple[int, str, str, str]:
    """Inverse of ``event_sk``: time in microseconds, event type, asset id, client's event id. Raises EventCorrupt."""
    try:
        _, time, event_type, asset_id, *rest = sk.split("#")
        [event_id] = rest or [""]
        return int(time), unescape(event_type), unescape(asset_id), unescape(event_id)
    except ValueError as error:
        raise EventCorrupt("a row of the event log has a key that no event has") from error


def is_log_position(sk: str) -> bool:
    """Whether a text could be the sort key of a row of the event log, also of one that cannot be read."""
    return sk.startswith(EVENT_PREFIX) and len(sk.encode()) <= _SORT_KEY_BYTES


def is_user_pk(pk: str) -> bool:
    """Whether a partition is a user's; names in it are escaped."""
    return pk.count("#") == 2


def parse_user_pk(pk: str) -> str:
    """The user id in a user's partition key."""
    return unescape(pk.rsplit("#", 1)[1])
