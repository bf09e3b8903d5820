"""The programs: each one's last rebase, and its model."""

from __future__ import annotations

from collections.abc import Iterator

from nextbest.domain.programs import Program
from nextbest.domain.rebase_status import FAILED
from nextbest.errors import ArtifactError
from nextbest.personalize.jobs.training_plan import training_period_days
from nextbest.scoring import Model
from nextbest.training.drift import describe
from tools.cli.deployment import Deployment
from tools.cli.doctor.finding import Finding
from tools.cli.doctor.schedule import MISSED

_DAY_SECONDS = 86_400.0


def check_programs(deployment: Deployment, now: float, *, longest_age_days: float) -> Iterator[Finding]:
    """Whether each program was rebased, and has a model that can be read and is not older than it should be."""
    store = deployment.store()
    programs = store.list_programs()
    yield Finding("programs", f"{len(programs)}")
    for program_id in store.program_ids():
        if store.unfinished_removal(program_id) is not None:
            yield Finding(f"program {program_id}", "its deletion was not finished", "call DeleteDatasetGroup again")
    for program in programs:
        yield from _program(deployment, program, now, longest_age_days)


def _program(deployment: Deployment, program: Program, now: float, longest_age_days: float) -> Iterator[Finding]:
    store, name = deployment.store(), f"program {program.program_id}"
    status = store.status(program.incarnation)
    if status is not None and status.status_id == FAILED:
        yield Finding(name, f"the last rebase failed: {status.message}", "remove the cause, then PUT /program/rebase")
    state = store.program_state(program.program_id)
    if state is None or state.model is None:
        yield Finding(name, "no model yet", "post events, then PUT /program/rebase")
        return
    try:
        model = Model.from_bytes(deployment.artifacts().get(state.model.key))
    except ArtifactError as error:
        yield Finding(name, f"its model cannot be read: {error.message}", "PUT /program/rebase makes a new one")
        return
    age_days = (now - model.trained_at) / _DAY_SECONDS
    # Solutions say for themselves whether and how often they are trained automatically.
    longest_age_days = max(longest_age_days, MISSED * training_period_days(store, program))
    fix = "look at the log of rebase, or PUT /program/rebase" if age_days > longest_age_days else ""
    yield Finding(name, f"model {state.model.version}, {age_days:.1f} days old, {len(model.actions):,} actions", fix)
    drifted = describe(model.report.get("drift", {}))
    if drifted:
        fix = "a season, a campaign or a faulty import: see docs/operations.md, Drift; the next rebase learns from it"
        yield Finding(name, drifted, fix)
