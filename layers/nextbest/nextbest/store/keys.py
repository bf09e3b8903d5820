"""Keys of the one table, in one place.

    pk                          sk                              holds
    <program>#U#<user>          E#<time>#<type>#<asset>[#<id>]  one event: the truth
    <program>#U#<user>          H0                              packed history, user attributes
    <program>#U#<user>          H1                              tail: events not folded yet
    <program>                   P                               settings, pointers, label weights, catalogue revision
    <program>                   S                               rebase status
    <program>                   G                               pointer to the segments
    <program>                   I                               folders that the program may import from
    <program>#A                 <asset>                         asset
    <program>#D                 <revision>                      assets put in that revision
    <program>#T                 <digest of a user id>           tombstone of a deleted user
    key                         <key id>                        access key
    programs                    <program>                       index of programs
    #idempotency                <route>#<digest>                what a creating call answered
    <kind>, e.g. filter         <name>                          Personalize resource (names are unique per account)

Names from clients are escaped, so that no name can collide with the keys of another.
"""

from __future__ import annotations

from nextbest.domain.events import Event
from nextbest.errors import InvalidInput

HISTORY = "H0"
TAIL = "H1"
HISTORY_PREFIX = "H"
EVENT_PREFIX = "E#"
PROGRAM = "P"
STATUS = "S"
SEGMENTS = "G"
IMPORT_LOCATIONS = "I"
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
    return name.replace("%23", "#").replace("%25", "%")


def program_pk(program_id: str) -> str:
    return escape(program_id)


def users_prefix(program_id: str) -> str:
    """What the partition keys of all users of a program begin with."""
    return f"{escape(program_id)}#U#"


def user_pk(program_id: str, user_id: str) -> str:
    return users_prefix(program_id) + escape(user_id)


def assets_pk(program_id: str) -> str:
    return f"{escape(program_id)}#A"


def asset_changes_pk(program_id: str) -> str:
    return f"{escape(program_id)}#D"


def tombstones_pk(program_id: str) -> str:
    return f"{escape(program_id)}#T"


def revision_sk(revision: int) -> str:
    return f"{revision:012d}"


def event_sk(event: Event) -> str:
    """Sort key of an event: its identity, in order of time. Raises InvalidInput for names too long to store."""
    parts = [f"{event.timestamp_us:0{_TIME_DIGITS}d}", escape(event.event_type), escape(event.asset_id)]
    if event.event_id:
        parts.append(escape(event.event_id))
    sk = EVENT_PREFIX + "#".join(parts)
    if len(sk.encode()) > _SORT_KEY_BYTES:
        raise InvalidInput(
            f"event_type, asset_id and event id together exceed {_SORT_KEY_BYTES - 32} bytes", field="asset_id"
        )
    return sk


def parse_event_sk(sk: str) -> tuple[int, str, str, str]:
    """Inverse of ``event_sk``: time in microseconds, event type, asset id, client's event id."""
    _, time, event_type, asset_id, *rest = sk.split("#")
    return int(time), unescape(event_type), unescape(asset_id), unescape(rest[0]) if rest else ""


def parse_user_pk(pk: str) -> str:
    """The user id in a user's partition key."""
    return unescape(pk.rsplit("#", 1)[1])
