"""Everything that can go wrong, as one tree.

    NextbestError
    ├── InvalidInput          the caller's fault: what was wrong, where, and what is allowed
    │   ├── FilterSyntaxError     a filter expression that cannot be parsed or bound
    │   ├── InvalidTime           what is no time of an event
    │   ├── FileUnusable          a file of events that is missing, damaged, no text, or lacks columns
    │   ├── CannotBeStored        data that the database refuses for good, such as an item over its limit
    │   └── QuotaExceeded         a documented limit of ours
    ├── NotFound              the thing named does not exist
    │   └── ProgramNotFound       a program that is not there, or no longer
    ├── AlreadyExists         the name is taken
    ├── InUse                 the thing cannot be changed or removed now
    │   └── Stopped               a run that was cancelled or taken for lost, and is to go no further
    ├── Forbidden             unknown key, or a key without the right
    │   └── SupersededSecret      the secret from before a rotation, which may not do this
    ├── TooManyRequests       the program exceeds its request rate; try again later
    ├── Unavailable           a service we depend on did not answer; try again
    ├── ArtifactError         a model or catalogue file that is corrupt, or newer than this code
    ├── TableExportError      an export of the table that failed, or that lacks files or items
    ├── HistoryCorrupt        a packed history that cannot be decoded; rebuilt from the log, never fatal
    └── EventCorrupt          a row of the event log that cannot be decoded; left out, and counted by each rebase

Each dialect (``actionhub/``, ``personalize/``) has one map from this tree to its wire contract. Messages are for the
caller: they say what was wrong and what is allowed, and never hold a secret or another program's data.
"""

from __future__ import annotations

SUPERSEDED = (
    "this secret was superseded when its key was rotated: it still reads and writes until the overlap ends, but "
    "managing keys and creating or deleting programs takes the current secret"
)


class NextbestError(Exception):
    """Base of every error this library raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(NextbestError):
    """Input that breaks a rule. ``field`` names the offending field in the caller's own words, where there is one."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class FilterSyntaxError(InvalidInput):
    """A filter expression that cannot be parsed or bound. ``position`` is a 0-based character offset into the text."""

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message, field="filterExpression")
        self.position = position


class InvalidTime(InvalidInput):
    """What is no time of an event. ``problem`` is the reason, without the field's name before it."""

    def __init__(self, problem: str, *, field: str | None = None) -> None:
        super().__init__(f"{field} {problem}" if field else problem, field=field)
        self.problem = problem


class FileUnusable(InvalidInput):
    """A file of events that is missing, damaged, no text, or lacks columns; the message is one line."""


class CannotBeStored(InvalidInput):
    """Data that the database refuses, and would refuse again, such as an item over its limit."""


class QuotaExceeded(InvalidInput):
    """A documented limit was reached; nothing was changed."""


class NotFound(NextbestError):
    """The thing named does not exist (for this caller)."""


class ProgramNotFound(NotFound):
    """A program that is not there, or was deleted meanwhile. Each dialect has its own word for a program."""

    def __init__(self, program_id: str) -> None:
        super().__init__(f"program {program_id} does not exist")
        self.program_id = program_id


class AlreadyExists(NextbestError):
    """The name is taken."""


class InUse(NextbestError):
    """The thing cannot be changed or removed while something else depends on it."""


class Stopped(InUse):
    """A run that is to go no further: it was cancelled, or taken for lost, and its program is another's to train."""


class Forbidden(NextbestError):
    """Unknown key, or a key without the right to do this."""


class SupersededSecret(Forbidden):
    """The secret from before a key's rotation, during the overlap, for what takes the current one."""

    def __init__(self, message: str = SUPERSEDED) -> None:
        super().__init__(message)


class TooManyRequests(NextbestError):
    """The program exceeds its request rate. The caller may try again later."""


class ArtifactError(NextbestError):
    """A model or catalogue file that is corrupt, truncated, or written by a newer version."""


class TableExportError(NextbestError):
    """An export of the table to S3 that failed, or whose files are not all there, whole and as its manifest says."""


class HistoryCorrupt(NextbestError):
    """A packed history that cannot be decoded."""


class EventCorrupt(NextbestError):
    """A row of the event log that cannot be decoded."""


class Unavailable(NextbestError):
    """A service that we depend on did not answer, or throttled us. The caller may try again."""
