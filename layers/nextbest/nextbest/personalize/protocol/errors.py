"""The one map from the library's errors to Personalize's wire contract (docs/contracts/personalize.md, section 1.3).

InvalidInput, FilterSyntaxError    InvalidInputException            400
QuotaExceeded                      LimitExceededException           400; InvalidInputException on the REST paths
NotFound, ProgramNotFound          ResourceNotFoundException        400 on the control plane, 404 on the REST paths
AlreadyExists                      ResourceAlreadyExistsException   400
InUse                              ResourceInUseException           400 on the control plane, 409 on the REST paths
Refused                            the exception it names           the status it names
Forbidden                          AccessDeniedException            400
TooManyRequests                    ThrottlingException              400: SDKs try again
Unavailable                        ServiceUnavailableException      503: SDKs try again
ArtifactError, HistoryCorrupt      InternalServerException          500: SDKs try again
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from nextbest.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidInput,
    NextbestError,
    NotFound,
    ProgramNotFound,
    QuotaExceeded,
    SupersededSecret,
    TooManyRequests,
    Unavailable,
)

UNKNOWN_OPERATION = "UnknownOperationException"

_SUPERSEDED = (
    "this secret was superseded when its key was rotated: it still reads and writes until the overlap ends, but "
    "creating or deleting dataset groups takes the current secret"
)
_UNREADABLE = "The service cannot read its own data; create a solution version, which makes them again"


class Protocol(Enum):
    """The two wire protocols; the value is the Content-Type of responses."""

    CONTROL = "application/x-amz-json-1.1"
    REST = "application/json"


class WireError(NamedTuple):
    """An error as it goes over the wire."""

    exception: str
    status: int
    message: str


class Refused(NextbestError):
    """A refusal with a name of its own in this dialect, such as InvalidNextTokenException."""

    def __init__(self, exception: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.exception = exception
        self.status = status


def wire_error(error: NextbestError, protocol: Protocol) -> WireError:
    """The exception, status and message for ``error``."""
    rest = protocol is Protocol.REST
    match error:
        case Refused():
            return WireError(error.exception, error.status, error.message)
        case QuotaExceeded() if not rest:
            return WireError("LimitExceededException", 400, error.message)
        case InvalidInput():
            return WireError("InvalidInputException", 400, error.message)
        case ProgramNotFound():
            return WireError(
                "ResourceNotFoundException",
                404 if rest else 400,
                f"The dataset group {error.program_id} does not exist.",
            )
        case NotFound():
            return WireError("ResourceNotFoundException", 404 if rest else 400, error.message)
        case AlreadyExists():
            return WireError("ResourceAlreadyExistsException", 400, error.message)
        case InUse():
            return WireError("ResourceInUseException", 409 if rest else 400, error.message)
        case Forbidden():
            reason = _SUPERSEDED if isinstance(error, SupersededSecret) else error.message
            return WireError("AccessDeniedException", 400, f"User is not authorized to perform this action: {reason}")
        case TooManyRequests():
            return WireError("ThrottlingException", 400, error.message)
        case Unavailable():
            return WireError("ServiceUnavailableException", 503, error.message)
        case _:
            return WireError("InternalServerException", 500, _UNREADABLE)
