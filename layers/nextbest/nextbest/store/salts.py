"""What hashes of users are made with (``domain/decisions.py``): the salt in a tail, the decision key in a program item.

Both are set with writes that happen anyway: a salt with the first write of a history, a key with the creation of the
program, or for one from before there were keys with the next change of its settings or its model.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nextbest.aws.table import Item
from nextbest.domain.decisions import SALT_BYTES, derived_salt

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

DECISION_KEY = "decision_key"
"""The attribute of a program item."""

KEY_IF_NONE = f"{DECISION_KEY} = if_not_exists({DECISION_KEY}, :key)"
"""Part of an update of a program item; ``:key`` is a new key."""

SALT = "decision_salt"
"""The attribute of a tail."""

SALT_IF_NONE = f"{SALT} = if_not_exists({SALT}, :salt)"
"""Part of an update of a tail, with ``salt_values``."""


def new_decision_key() -> AttributeValueTypeDef:
    """A random decision key, as an attribute."""
    return {"B": os.urandom(SALT_BYTES)}


def decision_key_in(program: Item) -> bytes:
    """The decision key in a program item; empty where it has none yet."""
    return bytes(program[DECISION_KEY]["B"]) if DECISION_KEY in program else b""


def salt_values(decision_key: bytes, user_id: str) -> Item:
    """The values of ``SALT_IF_NONE``; none for a program without a decision key."""
    return {":salt": {"B": derived_salt(decision_key, user_id)}} if decision_key else {}


def salt_in(tail: Item | None) -> bytes | None:
    """The user's salt; None where none was stored yet."""
    return bytes(tail[SALT]["B"]) if tail is not None and SALT in tail else None
