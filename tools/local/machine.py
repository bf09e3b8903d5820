"""This machine, as Lambda sees it."""

from __future__ import annotations

import platform

_NAMES = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64", "AMD64": "x86_64"}


def machine_architecture() -> str:
    """What Lambda calls the architecture of this machine; KeyError where it has no name for it."""
    return _NAMES[platform.machine()]
