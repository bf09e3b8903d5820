"""Whether a key may do what it asks, without telling what it may not see."""

from __future__ import annotations

from nextbest.domain.access_keys import AccessKey
from nextbest.errors import Forbidden, NotFound
from nextbest.store.base import ConfigurationStore, ProgramState

DENIED = "User is not authorized to perform this action: the access key lacks the scope {scope}"


def missing(arn: str) -> NotFound:
    """A resource that does not exist, or that the caller may not know of: one and the same message."""
    return NotFound(f"Resource Arn {arn} does not exist.")


def require(key: AccessKey, program_id: str, scope: str, *, unseen: NotFound) -> None:
    """Raise ``unseen`` where the key does not open the program at all, Forbidden where it lacks the scope."""
    if not key.opens(program_id):
        raise unseen
    if not key.allows(scope):
        raise Forbidden(DENIED.format(scope=scope))


def open_program(
    store: ConfigurationStore, key: AccessKey, program_id: str, scope: str, *, unseen: NotFound
) -> ProgramState:
    """The state of a program that the key opens for ``scope``. Raises ``unseen`` and Forbidden."""
    require(key, program_id, scope, unseen=unseen)
    state = store.program_state(program_id)
    if state is None:
        raise unseen
    return state
