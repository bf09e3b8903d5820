"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was checked, its state, and how to fix it; ``fix`` is empty if it is ok."""

    subject: str
    state: str
    fix: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.fix
