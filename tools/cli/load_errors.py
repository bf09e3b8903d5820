"""What stops a load, in words for the person at the keyboard.

LoadError             the message says why, and what to do
├── FileUnusable      missing, empty, wrong columns, not text
└── ServerRefuses     no server, wrong key, or an answer that the contract does not know
Interrupted           asked to stop
"""


class LoadError(Exception):
    """What stops a load, in words for the person at the keyboard."""


class FileUnusable(LoadError):
    """The file is missing, empty, not text, or lacks columns."""


class ServerRefuses(LoadError):
    """The server is not there, does not open the program, or answers outside the contract."""


class Interrupted(Exception):
    """The load was asked to stop."""
