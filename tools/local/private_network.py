"""Where the parts of the stack listen that only its own processes may reach: out of every browser's reach.

The engines and AWS's Lambda emulator check no credentials and answer every web page. So the stack and all it starts run
in a network of their own (a Linux network namespace): nothing outside reaches the engines, whatever it knows. Sockets
that were opened before stay outside: the gateway's, and those of the guarded doors (``tools.local.doors``) for tools
and tests. Where the kernel does not allow such a network (some containers), the second barrier is alone: the engines
listen on a loopback address and port drawn for each start, 2^38 to choose from.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.local.processes import HOST

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SET_INTERFACE_FLAGS = 0x8914  # SIOCSIFFLAGS
_INTERFACE_UP = 1  # IFF_UP
_BACKLOG = 256
DOORS = ("dynamodb", "s3", "sqs", "ssm", "lambda", "emr_serverless")


@dataclass(frozen=True, slots=True)
class Listeners:
    """Sockets on the machine's own network: the gateway's, and one for each service of AWS that has a door."""

    gateway: socket.socket
    doors: dict[str, socket.socket]

    @classmethod
    def open(cls, port: int) -> Listeners:
        """The gateway's on ``port``, where 0 takes a free one; the doors on free ports. Raises OSError if taken."""
        return cls(listen(HOST, port), {name: listen(HOST, 0) for name in DOORS})


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError if the port is taken."""
    return socket.create_server((host, port), backlog=_BACKLOG)


def unguessable_address() -> str:
    """A loopback address of this machine that no web page knows: one of 16 million, or HOST where only that exists."""
    if sys.platform != "linux":
        return HOST
    return ".".join(str(number) for number in (127, *(1 + secrets.randbelow(254) for _ in range(3))))


def enter_private_network() -> bool:
    """Move this process and all it will start into a network of its own; False, and no change, if that is not possible.

    To be called before the process starts its first thread.
    """
    if sys.platform != "linux" or len(list(Path("/proc/self/task").iterdir())) > 1:
        return False
    # Users must make a user namespace to be allowed a network; in one, root would lose its access to others' files.
    namespaces = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if not _works_in_a_child(namespaces):
        return False
    _enter(namespaces)
    return True


def _works_in_a_child(namespaces: int) -> bool:
    """Try it where a failure half-way, a network without a loopback device, does no harm."""
    child = os.fork()
    if child == 0:
        try:
            _enter(namespaces)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _enter(namespaces: int) -> None:
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(namespaces) != 0:
        raise OSError(ctypes.get_errno(), "the kernel does not allow a network of its own")
    if namespaces & _CLONE_NEWUSER:
        process = Path("/proc/self")
        (process / "setgroups").write_text("deny")
        (process / "uid_map").write_text(f"{user} {user} 1")
        (process / "gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_INTERFACE_FLAGS, struct.pack("16sh22x", b"lo", _INTERFACE_UP))
