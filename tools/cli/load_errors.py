"""What can stop a load.

LoadError             the message says why, and what to do
├── FileUnusable      missing, empty, wrong columns, not text
└── ServerRefuses     no server, wrong key, or a response outside the contract
Interrupted           stopped by the user
"""


class LoadError(Exception):
    """A load cannot go on; the message is for the user."""


class FileUnusable(LoadError):
    """The file is missing, empty, not text, or lacks columns."""


class ServerRefuses(LoadError):
    """The server does not respond, denies access to the program, or responds outside the contract."""


class Interrupted(Exception):
    """The user stopped the load."""
