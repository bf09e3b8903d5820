"""The folder that keeps everything a local stack has stored."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

_OWNER_ONLY = 0o700
# What the commands put into it; any of these tells our folder from others.
_ENTRIES = ("lock", "docker", "load")


class NotAStateFolder(Exception):
    """A folder with other contents or another owner, not ours to close to others. The message is for the user."""


def make_private(state: Path) -> None:
    """Create the folder, or narrow an existing one, so that only its owner may enter. Raises NotAStateFolder."""
    state.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
    if (state.stat().st_mode & 0o777) == _OWNER_ONLY:
        return
    if any(state.iterdir()) and not any((state / entry).exists() for entry in _ENTRIES):
        raise NotAStateFolder(f"{state} holds other files, and other users may read it: name a new or empty folder")
    try:
        state.chmod(_OWNER_ONLY)
    except PermissionError as error:
        raise NotAStateFolder(f"{state} belongs to another user: name a folder of your own") from error


def lock(state: Path) -> TextIO:
    """Take the folder for this process, until the file is closed or the process ends, however it ends.

    Raises BlockingIOError if another process has taken it.
    """
    file = (state / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in one step: whoever reads it sees all of it."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.rename(path)
