"""Child processes that never outlive the stack, however it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HOST = "127.0.0.1"
_STOP_SECONDS = 5.0


class ProcessDied(Exception):
    """A process ended that should be running. The message names it and quotes the end of its log."""


def free_port(host: str = HOST) -> int:
    """A TCP port that nothing listens on now. Another program may take it first: be ready to try again."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class Processes:
    """Starts child processes and ends them all in ``close``.

    Each child leads its own session, so a Ctrl-C in the terminal reaches only the stack, which then stops its children.
    If the stack itself is killed, the kernel sends them SIGTERM (``setpriv --pdeathsig``). That signal is
    tied to the *thread* that started the child, hence the one thread that starts them all and lives as long as we do.
    """

    def __init__(self) -> None:
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="process-starter")
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False
        setpriv = shutil.which("setpriv")
        self._prefix = [setpriv, "--pdeathsig", "TERM"] if setpriv else []

    def start(
        self, command: Sequence[str], *, log: Path, environment: Mapping[str, str], folder: Path
    ) -> subprocess.Popen[bytes]:
        """Start a command whose whole output is appended to ``log``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        return self._starter.submit(self._start, command, log, environment, folder).result()

    def _start(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path
    ) -> subprocess.Popen[bytes]:
        if self._closed:
            raise ProcessDied(f"{log.stem} was not started: the stack is stopping")
        with log.open("ab") as output:
            child = subprocess.Popen(
                [*self._prefix, *command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with self._lock:
            self._children.add(child)
        return child

    def stop(self, *children: subprocess.Popen[bytes], seconds: float = _STOP_SECONDS) -> None:
        """Send these children SIGTERM, wait so long, and kill what is left of their process groups."""
        for child in children:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=max(0.0, deadline - time.monotonic()))
        for child in children:
            _signal_group(child, signal.SIGKILL)
            child.wait()
        with self._lock:
            self._children.difference_update(children)

    def close(self) -> None:
        """Stop all children, and start no more."""
        self._closed = True
        self._starter.shutdown(wait=True)
        self.stop(*self._children)


def wait_for_port(child: subprocess.Popen[bytes], port: int, *, log: Path, seconds: float, host: str = HOST) -> None:
    """Return once ``child`` accepts connections on ``port``; ProcessDied if it ends, TimeoutError if it does not."""
    deadline = time.monotonic() + seconds
    while True:
        if child.poll() is not None:
            raise ProcessDied(f"{log.stem} ended with status {child.returncode}:\n{tail(log)}")
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{log.stem} does not listen on port {port} after {seconds:.0f} s:\n{tail(log)}")
        time.sleep(0.005)


def tail(log: Path, lines: int = 10) -> str:
    """The last lines of a log, indented."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The leader may have ended before its group, or the group before the leader was waited for.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
