"""What can stop a load.

LoadError             the message says why, and what to do
├── ProgressUnusable  the progress file is damaged, or the rejects cannot be written
└── ServerRefuses     no server, wrong key, or a response outside the contract
Interrupted           stopped by the user

A file that cannot be read raises the library's FileUnusable.
"""


class LoadError(Exception):
    """A load cannot go on; the message is for the user."""


class ProgressUnusable(LoadError):
    """The progress file is damaged, or the file of rejected rows cannot be written."""


class ServerRefuses(LoadError):
    """The server does not respond, denies access to the program, or responds outside the contract."""


class Interrupted(Exception):
    """The user stopped the load."""
