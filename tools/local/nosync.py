"""Runs a command whose ``fsync`` and ``fdatasync`` return at once.

    python -m tools.local.nosync command argument ...

The DynamoDB engine waits for the disk once per item written: 1,000 waits for a POST of 1,000 events, which is most of
its time on a fast disk and nearly all of it on a slow one. The kernel has the data by then, so killing the engine loses
nothing; only a crash of the whole machine could, and local data can be loaded again. The method is that of
``systemd-nspawn --suppress-sync``: a seccomp filter, which needs no privileges and applies to this command alone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_RETURN_ZERO = 0x00050000  # SECCOMP_RET_ERRNO with errno 0: the call is skipped and reports success
# Classic BPF: load a 32-bit word of the call's description, jump if equal, return.
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE = 0, 4
# Architecture as the kernel's audit names it, and the numbers of fsync and fdatasync.
_CALLS = {"x86_64": (0xC000003E, 74, 75), "aarch64": (0xC00000B7, 82, 83)}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def suppress_sync() -> None:
    """Make the sync calls of this process, and of whatever it executes, return at once. Raises OSError."""
    architecture, fsync, fdatasync = _CALLS[platform.machine()]
    instructions = (
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_JUMP_EQUAL, 0, 3, architecture),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        (_JUMP_EQUAL, 2, 0, fsync),
        (_JUMP_EQUAL, 1, 0, fdatasync),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _RETURN_ZERO),
    )
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    program = _Program(len(instructions), code)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "the kernel does not accept the seccomp filter")


if __name__ == "__main__":
    try:
        suppress_sync()
    except OSError as error:
        print(f"sync calls are not suppressed, writes are slower: {error}", file=sys.stderr)
    os.execv(sys.argv[1], sys.argv[1:])
