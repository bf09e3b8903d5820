"""The programs: each one's last rebase, and its model."""

from __future__ import annotations

from collections.abc import Iterator

from nextbest.logic.health import Finding, check_program
from tools.cli.deployment import Deployment


def check_programs(deployment: Deployment, now: float, *, longest_age_days: float) -> Iterator[Finding]:
    """Whether each program was rebased, and has a model that can be read and is not older than it should be."""
    store, artifacts = deployment.store(), deployment.artifacts()
    program_ids = store.program_ids()
    states = store.program_states(program_ids)
    yield Finding("programs", f"{len(states)}")
    for program_id in program_ids:
        if store.unfinished_removal(program_id) is not None:
            yield Finding(f"program {program_id}", "its deletion was not finished", "call DeleteDatasetGroup again")
    for state in states:
        yield from check_program(store, artifacts, state, now=now, longest_age_days=longest_age_days)
