"""The programs: each one's last rebase, and its model."""

from __future__ import annotations

from collections.abc import Iterator

from nextbest.logic import health
from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment


def check_programs(deployment: Deployment, now: float, *, longest_age_days: float) -> Iterator[Finding]:
    """Whether each program was rebased, and has a model that can be read and is not older than it should be."""
    store, artifacts = deployment.store(), deployment.artifacts()
    program_ids = store.program_ids()
    yield Finding("programs", f"{len(program_ids)}")
    yield from health.check_programs(store, artifacts, program_ids, now=now, longest_age_days=longest_age_days)
