"""Recording decisions: what was recommended to whom becomes part of the line that a request logs anyway.

Hot path: no call, no write. A subscription delivers the lines (``functions/decisions``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha1
from typing import Any
from uuid import NAMESPACE_OID

from nextbest.domain.decisions import DecidedAction, Decision, derived_salt, is_recorded, user_hash
from nextbest.domain.programs import Program
from nextbest.store.base import UserRead

HEADER = "x-nextbest-decision"
"""The header that has the recommendation id, in both dialects."""

_PREFIX = "RID-"
_NO_EXPERIMENTS: Mapping[str, str] = {}


def recommendation_id_of(request_id: str) -> str:
    """The id of the answer to a request: the same for the same request, and unlike any other.

    ``uuid5`` of the standard library by hand, which every answer would wait for three times as long.
    """
    digits = sha1(NAMESPACE_OID.bytes + request_id.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{_PREFIX}{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def decision_of(
    program: Program,
    user_id: str,
    user: UserRead,
    actions: Iterable[DecidedAction],
    *,
    recommendation_id: str,
    now: float,
    dialect: str,
    model: str,
    filter: str | None,
    filter_values: Mapping[str, str],
    allow_repeats: bool,
    limit: int,
    pool: int = 0,
    experiments: Mapping[str, str] = _NO_EXPERIMENTS,
) -> Decision | None:
    """The record of an answer at ``now``; None where the user is not one of the share that the program records.

    None, too, as long as neither the user has a salt nor the program a decision key. ``experiments`` has the user's
    variants by experiment id.
    """
    salt = user.salt
    if salt is None:
        if not program.decision_key:
            return None
        salt = derived_salt(program.decision_key, user_id)
    hashed_user = user_hash(salt, user_id)
    if not is_recorded(hashed_user, program.decision_share):
        return None
    return Decision(
        recommendation_id=recommendation_id,
        time=now,
        program=program.program_id,
        dialect=dialect,
        user=hashed_user,
        experiments=experiments,
        model=model,
        filter=_encodable(filter) if filter is not None else None,
        filter_values={_encodable(name): _encodable(value) for name, value in filter_values.items()},
        allow_repeats=allow_repeats,
        limit=limit,
        actions=tuple(actions),
        pool=pool,
        sampling=program.decision_share,
    )


def decision_fields(decision: Decision | None, program: Program) -> dict[str, Any]:
    """The record as fields of the log line, which ``decision_files`` reads; none where there is no record."""
    return {"decision": decision.members(), "incarnation": program.incarnation} if decision is not None else {}


def _encodable(text: str) -> str:
    """``text`` with halves of surrogate pairs, which no log line can hold, spelled as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
