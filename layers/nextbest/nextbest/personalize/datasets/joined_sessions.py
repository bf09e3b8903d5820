"""Where it is recorded which sessions of a program were joined to a user."""

from __future__ import annotations

from nextbest.domain.programs import Incarnation
from nextbest.personalize.protocol.arns import stored_kind


def joined_sessions(incarnation: Incarnation) -> str:
    """The kind of these resources."""
    return f"{stored_kind('session')}:{incarnation}"
