"""Decisions: one record of what was recommended to whom, by what, and how likely it was to be.

A record names its user by a keyed hash. Its key is the user's salt, 16 bytes in the user's history. A user without a
history has the salt that is derived from the program's decision key, and the first write of a history stores that one,
so that the hash stays the same. Deleting a user removes the salt and replaces the decision key: from then on nobody can
compute which records were theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from nextbest.errors import InvalidInput

SALT_BYTES = 16
"""Length of a user's salt, of a program's decision key, and of the hash of a user."""

ACTIONHUB, PERSONALIZE = "actionhub", "personalize"
"""The dialects that answer with recommendations."""


class DecidedAction(NamedTuple):
    """An action of an answer. ``propensity`` is the probability (0..1) that it was shown in its place; 1 where nothing
    was drawn."""

    event_type: str
    asset_id: str
    growth_weight: float
    base_weight: float
    propensity: float = 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer with recommendations.

    ``time`` is in seconds since 1970, ``user`` the keyed hash of the user id, ``experiments`` the variant by experiment
    id. ``model`` is the version that served, or ``untrained``. ``filter`` is the name or the expression that the client
    sent, with the values of its parameters. ``actions`` are in the order of the answer. ``pool`` is how many actions
    exploration drew from, 0 where it drew none; ``sampling`` the share (0..1] of users whose answers are recorded: a
    record stands for 1 / ``sampling`` answers.
    """

    recommendation_id: str
    time: float
    program: str
    dialect: str
    user: str
    experiments: Mapping[str, str]
    model: str
    filter: str | None
    filter_values: Mapping[str, str]
    allow_repeats: bool
    limit: int
    actions: tuple[DecidedAction, ...]
    pool: int = 0
    sampling: float = 1.0

    def members(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "recommendation_id": self.recommendation_id,
            "time": self.time,
            "program": self.program,
            "dialect": self.dialect,
            "user": self.user,
            "experiments": self.experiments,
            "model": self.model,
            "filter": self.filter,
            "filter_values": self.filter_values,
            "allow_repeats": self.allow_repeats,
            "limit": self.limit,
            "actions": self.actions,
            "pool": self.pool,
            "sampling": self.sampling,
        }

    def to_json(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(self.members(), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> Decision:
        """Inverse of ``to_json``; members of later versions are left out. Raises InvalidInput for anything else."""
        try:
            return cls.from_members(json.loads(line))
        except ValueError as error:
            raise InvalidInput(f"this is not a decision: {error}") from error

    @classmethod
    def from_members(cls, members: Mapping[str, Any]) -> Decision:
        """Inverse of ``members``. Raises InvalidInput."""
        try:
            return cls(
                recommendation_id=str(members["recommendation_id"]),
                time=float(members["time"]),
                program=str(members["program"]),
                dialect=str(members["dialect"]),
                user=str(members["user"]),
                experiments=dict(members["experiments"]),
                model=str(members["model"]),
                filter=members["filter"],
                filter_values=dict(members["filter_values"]),
                allow_repeats=bool(members["allow_repeats"]),
                limit=int(members["limit"]),
                actions=tuple(map(_decided_action, members["actions"])),
                pool=int(members["pool"]),
                sampling=float(members["sampling"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"this is not a decision: {error!r}") from error


def _decided_action(row: Sequence[Any]) -> DecidedAction:
    event_type, asset_id, growth_weight, base_weight, propensity = row
    return DecidedAction(event_type, asset_id, float(growth_weight), float(base_weight), float(propensity))


def user_hash(salt: bytes, user_id: str) -> str:
    """The keyed hash that decisions name a user by: 32 hex digits.

    Source of the function: https://www.rfc-editor.org/rfc/rfc7693 (BLAKE2b with a key).
    """
    return blake2b(user_id.encode("utf-8", "surrogatepass"), key=salt, digest_size=SALT_BYTES).hexdigest()


def is_recorded(user: str, share: float) -> bool:
    """Whether the answers to a user, given by the hash, are among those of the ``share`` (0..1) that is recorded.

    The first 52 bits of the hash are a number in [0, 1), which has to be below the share. All answers to a user are
    recorded, or none: whoever asks more often is not likelier to be in. A larger share keeps everybody who was in a
    smaller one. The hash is keyed by a salt that assignment to experiments does not use, so that the two are
    independent.
    """
    return share >= 1.0 or int(user[:13], 16) / 2**52 < share


def derived_salt(decision_key: bytes, user_id: str) -> bytes:
    """The salt of a user who has none stored yet."""
    return blake2b(user_id.encode("utf-8", "surrogatepass"), key=decision_key, digest_size=SALT_BYTES).digest()
