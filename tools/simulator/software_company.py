"""The events of a made-up software company, the file of the tutorial: a task planner with free and paid plans.

    python -m tools.simulator.software_company docs/tutorial/planner.csv.gz

The same arguments write the same file to the byte. What is hidden in it: teams that invite teammates and look at the
prices upgrade; guides lead to automations, automations to reports; who cancels comes back to nothing but the prices.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from nextbest.domain.events import DAY_SECONDS

SEED = 11
CUSTOMERS = 420
DAYS = 120
END = datetime(2026, 10, 31, tzinfo=UTC).timestamp()
HEADER = ("user_id", "event_type", "asset_id", "timestamp", "labels")
# A day is drawn as several visits, so that what one visit did changes the odds of the next.
VISITS_A_DAY = 2
OFFICE_HOURS = (7.0, 19.0)

KINDS = ("solo", "team", "visitor")
KIND_SHARES = (0.45, 0.35, 0.2)


@dataclass(frozen=True, slots=True)
class Step:
    """An action, its chance within a visit by kind of customer, and what changes it.

    ``after`` are actions that must have been done, with how often; until then the chance is multiplied by ``before``.
    """

    event_type: str
    asset_id: str
    chances: tuple[float, float, float]
    once: bool = False
    after: tuple[tuple[str, str, int], ...] = ()
    before: float = 0.0


STEPS = (
    Step("create", "task", (0.5, 0.55, 0.12)),
    Step("complete", "task", (0.4, 0.42, 0.05), after=(("create", "task", 1),)),
    Step("create", "project", (0.06, 0.1, 0.02)),
    Step("comment_on", "task", (0.02, 0.25, 0.0), after=(("invite", "teammate", 1),)),
    Step("invite", "teammate", (0.01, 0.12, 0.0)),
    Step("view", "pricing", (0.012, 0.05, 0.03), after=(("invite", "teammate", 2),), before=0.4),
    Step("view", "changelog", (0.02, 0.02, 0.02)),
    Step("view", "roadmap", (0.015, 0.01, 0.03)),
    Step("read", "guide-first-steps", (0.06, 0.05, 0.08), once=True),
    Step("read", "guide-automation", (0.03, 0.03, 0.01), once=True, after=(("create", "project", 2),), before=0.2),
    Step("automate", "rule", (0.05, 0.06, 0.0), after=(("read", "guide-automation", 1),), before=0.03),
    Step("export", "report", (0.05, 0.08, 0.0), after=(("automate", "rule", 2),), before=0.06),
    Step("connect", "calendar", (0.03, 0.02, 0.01), once=True),
    Step("connect", "chat", (0.002, 0.04, 0.0), once=True, after=(("invite", "teammate", 2),), before=0.1),
    Step("connect", "repository", (0.006, 0.012, 0.0), once=True, after=(("create", "project", 3),), before=0.3),
    Step("enable", "two-factor", (0.006, 0.02, 0.002), once=True),
    Step("attend", "webinar", (0.006, 0.012, 0.012)),
    Step("refer", "friend", (0.006, 0.01, 0.001), after=(("complete", "task", 20),), before=0.1),
    Step(
        *("upgrade", "team-plan", (0.05, 0.22, 0.0)),
        once=True,
        after=(("invite", "teammate", 3), ("view", "pricing", 2)),
        before=0.006,
    ),
    Step("upgrade", "business-plan", (0.0, 0.02, 0.0), once=True, after=(("upgrade", "team-plan", 1),)),
    Step("cancel", "plan", (0.004, 0.004, 0.0), once=True, after=(("upgrade", "team-plan", 1),)),
)

# The prospect that the tutorial asks about: a team that has looked at the prices and not paid yet.
PROSPECT = "mira"
PROSPECT_STEPS = (
    *(("sign_up", "planner", 30.0), ("read", "guide-first-steps", 29.9), ("create", "project", 29.0)),
    *(("create", "task", 28.0 - day) for day in range(0, 27, 2)),
    *(("complete", "task", 27.5 - day) for day in range(0, 27, 3)),
    *(("invite", "teammate", 9.0 - 0.7 * count) for count in range(11)),
    *(("comment_on", "task", 6.0 - day) for day in range(5)),
    *(("view", "pricing", days) for days in (5.1, 2.2, 0.6)),
)


def events(seed: int = SEED, customers: int = CUSTOMERS) -> Iterator[tuple[str, str, str, int, str]]:
    """Rows as in HEADER, customer by customer, each in the order of time (whole seconds since 1970)."""
    generator = np.random.default_rng(seed)
    yield from _rows(PROSPECT, [(asset, END - days * DAY_SECONDS) for *asset, days in PROSPECT_STEPS], "web")
    for number in range(customers):
        kind = int(generator.choice(len(KINDS), p=KIND_SHARES))
        yield from _rows(f"customer-{number + 1:03}", _life(kind, generator), str(generator.choice(["web", "mobile"])))


def _life(kind: int, generator: np.random.Generator) -> list[tuple[list[str], float]]:
    """What one customer did, and when (seconds since 1970)."""
    arrived = float(generator.uniform(1.0, DAYS))
    stays = float(generator.exponential(25.0 if KINDS[kind] == "visitor" else 90.0))
    pace = float(np.exp(generator.normal(-1.5, 0.8)))
    done: dict[tuple[str, str], int] = {}
    life: list[tuple[list[str], float]] = [(["sign_up", "planner"], END - arrived * DAY_SECONDS)]
    for day in range(int(arrived), 0, -1):
        if arrived - day > stays:
            break
        for _ in range(VISITS_A_DAY):
            if generator.random() > pace:
                continue
            time = END - day * DAY_SECONDS + float(generator.uniform(*OFFICE_HOURS)) * 3600.0
            for step in STEPS:
                if generator.random() < _chance(step, kind, done):
                    done[step.event_type, step.asset_id] = done.get((step.event_type, step.asset_id), 0) + 1
                    time += float(generator.exponential(90.0)) + 1.0
                    life.append(([step.event_type, step.asset_id], time))
    return life


def _chance(step: Step, kind: int, done: dict[tuple[str, str], int]) -> float:
    if step.once and (step.event_type, step.asset_id) in done:
        return 0.0
    opened = all(done.get((event_type, asset_id), 0) >= count for event_type, asset_id, count in step.after)
    # Who has cancelled only looks around.
    slowed = 0.1 if ("cancel", "plan") in done and step.event_type != "view" else 1.0
    return step.chances[kind] * slowed * (1.0 if opened else step.before)


def _rows(user_id: str, life: list[tuple[list[str], float]], label: str) -> Iterator[tuple[str, str, str, int, str]]:
    for (event_type, asset_id), time in sorted(life, key=lambda entry: entry[1]):
        if time < END:
            yield user_id, event_type, asset_id, int(time), label


def write(path: Path) -> int:
    """Write the file of the tutorial; the number of its rows."""
    rows = sorted(events(), key=lambda row: (row[3], row[0]))
    # Without a name and a time in it, gzip writes the same bytes again.
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(rows)
    return len(rows)


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1])):,} events")
