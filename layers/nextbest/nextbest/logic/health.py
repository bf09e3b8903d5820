"""Whether a program is well: its last rebase, and its model. Said on the command line and in the console."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from nextbest.domain.events import DAY_SECONDS
from nextbest.domain.rebase_status import COMPLETE, FAILED
from nextbest.errors import ArtifactError
from nextbest.logic.model_report import describe_drift
from nextbest.logic.programs import rebase_status
from nextbest.logic.training_plan import training_period_days
from nextbest.scoring import Model
from nextbest.store.base import ArtifactStore, DeadLetterQueue, EventQueue, ProgramState, Store
from nextbest.store.bulk import BulkStore

DEFAULT_SCHEDULE = "rate(1 day)"
_DAYS = {"minute": 1 / 1440, "hour": 1 / 24, "day": 1.0}
_MISSED = 2
"""Periods without a new model after which the model is old: one rebase was missed."""
_SHORTEST_DAYS = 0.1
"""A rebase may start a quarter of an hour late, and takes its time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was checked, its state, and how to fix it; ``fix`` is empty if it is ok."""

    subject: str
    state: str
    fix: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether there is nothing to fix."""
        return not self.fix


def check_program(
    store: Store, artifacts: ArtifactStore, state: ProgramState, *, now: float, longest_age_days: float
) -> Iterator[Finding]:
    """Whether a program was rebased, and has a model that can be read and is not older than it should be."""
    program = state.program
    name = f"program {program.program_id}"
    status = rebase_status(store, program.incarnation, now=now)
    if status.status_id == FAILED:
        yield Finding(name, f"the last rebase failed: {status.message}", "remove the cause, then PUT /program/rebase")
    if state.model is None:
        yield Finding(name, "no model yet", "post events, then PUT /program/rebase")
        return
    try:
        model = Model.from_bytes(artifacts.get(state.model.key))
    except ArtifactError as error:
        yield Finding(name, f"its model cannot be read: {error.message}", "PUT /program/rebase makes a new one")
        return
    age_days = (now - model.trained_at) / DAY_SECONDS
    # A model that the schedule keeps, as there is nothing new to learn, is as good as one of then.
    is_kept = program.unchanged_since > 0.0 and status.status_id == COMPLETE
    stale_days = (now - max(status.timestamp, model.trained_at)) / DAY_SECONDS if is_kept else age_days
    # Solutions say for themselves whether and how often they are trained automatically.
    longest_age_days = max(longest_age_days, _MISSED * training_period_days(store, program))
    fix = "look at the log of rebase, or PUT /program/rebase" if stale_days > longest_age_days else ""
    yield Finding(name, f"model {state.model.version}, {age_days:.1f} days old, {len(model.actions):,} actions", fix)
    drifted = describe_drift(model.report.get("drift", {}))
    if drifted:
        fix = "a season, a campaign or a faulty import: see docs/operations.md, Drift; the next rebase learns from it"
        yield Finding(name, drifted, fix)


def check_programs(
    store: BulkStore, artifacts: ArtifactStore, program_ids: Sequence[str], *, now: float, longest_age_days: float
) -> Iterator[Finding]:
    """The same of many programs, and which of them are not deleted to the end."""
    for program_id in program_ids:
        if store.unfinished_removal(program_id) is not None:
            yield Finding(f"program {program_id}", "its deletion was not finished", "call DeleteDatasetGroup again")
    for state in store.program_states(program_ids):
        yield from check_program(store, artifacts, state, now=now, longest_age_days=longest_age_days)


def check_queues(queue: EventQueue, dead_letters: DeadLetterQueue, failures: DeadLetterQueue) -> Iterator[Finding]:
    """How many messages wait, and whether any failed for good."""
    yield Finding("queue", f"{queue.count()} messages waiting")
    dead, failed = dead_letters.count(), failures.count()
    fix = "./nextbest dead-letters list, then redrive (docs/operations.md, Dead letters)" if dead else ""
    yield Finding("dead letters", f"{dead}", fix)
    yield Finding("failed invocations", f"{failed}", "see docs/operations.md, Failed invocations" if failed else "")


def longest_age_days(schedule: str, *, enabled: bool) -> float:
    """Days after which a model is older than the schedule of rebases should leave it; infinite where it is off."""
    return max(_MISSED * period_days(schedule), _SHORTEST_DAYS) if enabled else inf


def period_days(expression: str) -> float:
    """The longest time between two runs of a schedule, in days.

    ``expression`` is a rate or cron expression of EventBridge Scheduler
    (https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html). Of a cron expression, whichever field
    is restricted decides: the month (a year), the day of the month (a month), the day of the week (a week). Infinite
    for a schedule that runs once, and for one of a form that is not known.
    """
    if rate := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression):
        return int(rate[1]) * _DAYS[rate[2]]
    if cron := re.fullmatch(r"cron\((.+)\)", expression):
        fields = cron[1].split()
        if len(fields) == 6 and fields[5] == "*":
            restricted = [field not in ("*", "?") for field in fields[2:5]]
            day_of_month, month, day_of_week = restricted
            return 366.0 if month else 31.0 if day_of_month else 7.0 if day_of_week else 1.0
    return inf
