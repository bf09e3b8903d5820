"""The report of a program's decisions: growth weights against what came true, and a model that never served."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from random import Random

import numpy as np
import pytest

from nextbest.aws.table import Table
from nextbest.domain.decisions import PERSONALIZE, DecidedAction, Decision, derived_salt, user_hash
from nextbest.domain.events import DAY_SECONDS, Event
from nextbest.domain.programs import Program
from nextbest.errors import InvalidInput
from nextbest.logic import decision_reports
from nextbest.logic.decision_files import decision_files
from nextbest.logic.decision_reports import compute_decision_report
from nextbest.logic.models import pointer_to
from nextbest.logic.program_removal import remove_program
from nextbest.logic.report_files import DECISIONS, reports_of, stored_report
from nextbest.scoring import Model
from nextbest.store.dynamo import DynamoStore
from nextbest.training import train
from tests.factories import MemoryArtifacts, columns_of_events
from tests.store.conftest import PROGRAM
from tests.store.test_actionhub_calls import Caller

START = 1_790_000_000.0
NOW = START + 30 * DAY_SECONDS
INCARNATION = PROGRAM.incarnation
VERSION = "1790000000000-0123456789ab"
NEW = ("n0", "n1", "n2", "n3")
USERS = 240


def event(user: str, time: float, event_type: str, asset_id: str) -> Event:
    return Event(user, round(time * 1e6), event_type, asset_id)


@cache
def candidate() -> Model:
    """A model that learned from others what this program's users will do: who orders tea takes n0, the others n1."""
    events = []
    for user in range(300):
        taste, first = user % 2, START - (30 + user % 50) * DAY_SECONDS
        for day in (0, 10, 20):
            events.append(event(f"other-{user}", first + day * DAY_SECONDS, "order", ("tea", "cake")[taste]))
        events.append(event(f"other-{user}", first + 25 * DAY_SECONDS, "TAKEN", NEW[taste]))
    return train(columns_of_events(events), program=PROGRAM, now=START, seed=1, time_budget_seconds=1.0)


def decision(
    program: Program, user: str, number: int, *, drawn: Iterable[str], time: float, **experiments: str
) -> Decision:
    """An answer with one action that the served model knows, and what exploration drew beside it."""
    return Decision(
        recommendation_id=f"RID-{number}",
        time=time,
        program=PROGRAM.program_id,
        dialect=PERSONALIZE,
        user=user_hash(derived_salt(program.decision_key, user), user),
        experiments=experiments,
        model="served",
        filter=None,
        filter_values={},
        allow_repeats=True,
        limit=4,
        actions=(
            DecidedAction("TAKEN", "club", 0.3, 0.0),
            *(DecidedAction("TAKEN", name, 0.0, 0.0, 0.75) for name in drawn),
        ),
        pool=len(NEW) if drawn else 0,
    )


def put_decisions(artifacts: MemoryArtifacts, decisions: Iterable[Decision]) -> None:
    lines = [
        (str(place), json.dumps({"incarnation": INCARNATION, "decision": made.members()}))
        for place, made in enumerate(decisions)
    ]
    for name, content in decision_files(lines).items():
        artifacts.put(name, content)


def program_of(store: DynamoStore) -> Program:
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    return state.program


@pytest.fixture
def artifacts(store: DynamoStore) -> MemoryArtifacts:
    """A program whose users take n0 or n1 with probability .5 and .1, by their taste, the others with .1; and the club
    with .3, as they were told."""
    made = MemoryArtifacts()
    made.put(pointer_to(INCARNATION, VERSION).key, candidate().to_bytes())
    program, random = program_of(store), np.random.default_rng(3)
    decisions, events = [], []
    for number in range(USERS):
        user, taste = f"user-{number:04d}", number % 2
        time = START + float(random.uniform(1, 9)) * DAY_SECONDS
        drawn = [NEW[place] for place in random.permutation(len(NEW))[:3].tolist()]
        decisions.append(decision(program, user, number, drawn=drawn, time=time))
        events += [event(user, START - day * DAY_SECONDS, "order", ("tea", "cake")[taste]) for day in (33, 21)]
        chances: Mapping[str, float] = {"club": 0.3, **{name: 0.5 if name == NEW[taste] else 0.1 for name in NEW}}
        events += [event(user, time + 3600, "TAKEN", name) for name, p in chances.items() if random.random() < p]
    store.append(program, events)
    put_decisions(made, decisions)
    return made


def test_growth_weights_and_a_model_that_never_served(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    report = compute_decision_report(store, artifacts, INCARNATION, model_version=VERSION, now=NOW)

    assert (report.decisions, report.held_out, report.user_share) == (USERS, 0, 1.0)
    # Then growth weights of .3 came true as often as they said, and nothing was said of what was drawn
    assert sum(week.agreement.recommendations for week in report.weeks) == USERS
    assert sum(week.agreement.expected for week in report.weeks) == pytest.approx(0.3 * USERS)
    observed = sum(week.agreement.observed for week in report.weeks)
    assert observed / USERS == pytest.approx(0.3, abs=0.1)
    # And the model would have chosen what users want
    assert report.candidate is not None and report.candidate.value is not None
    value = report.candidate.value
    assert (report.candidate.draws, report.candidate.known, value.users) == (3 * USERS, 3 * USERS, USERS)
    for estimate in (value.snips, value.doubly_robust):
        assert estimate.fixed is not None and not estimate.fixed.excludes(0.5)
        assert estimate.fixed.low > 0.3
    assert value.logged.value == pytest.approx(0.2, abs=0.05)
    # And the same again is the same, of which nothing names a user, and nothing is left with the program gone
    stored = stored_report(artifacts, INCARNATION, DECISIONS)
    compute_decision_report(store, artifacts, INCARNATION, model_version=VERSION, now=NOW)
    assert stored_report(artifacts, INCARNATION, DECISIONS) == stored
    assert not re.search("user-[0-9]|[0-9a-f]{32}", json.dumps(stored))
    remove_program(store, artifacts, INCARNATION)
    assert artifacts.names(reports_of(INCARNATION)) == []


def test_of_many_decisions_those_of_some_users_are_looked_at(
    store: DynamoStore, artifacts: MemoryArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_reports, "MAX_DECISIONS", USERS - 1)
    report = compute_decision_report(store, artifacts, INCARNATION, model_version=None, now=NOW)
    assert report.user_share == 0.5
    assert report.decisions == pytest.approx(USERS / 2, abs=30)
    assert report.candidate is None


def reason_of(store: DynamoStore, artifacts: MemoryArtifacts, *, now: float = NOW) -> str:
    artifacts.put(pointer_to(INCARNATION, VERSION).key, candidate().to_bytes())
    report = compute_decision_report(store, artifacts, INCARNATION, model_version=VERSION, now=now)
    assert report.candidate is not None and report.candidate.value is None
    return report.candidate.reason


def test_what_nobody_can_know_is_a_reason(store: DynamoStore) -> None:
    program, later = program_of(store), START + DAY_SECONDS
    artifacts = MemoryArtifacts()
    assert reason_of(store, artifacts).startswith("nothing was drawn: only campaigns that explore")
    put_decisions(artifacts, [decision(program, "ada", 1, drawn=(), time=later)])
    assert reason_of(store, artifacts).startswith("nothing was drawn: only campaigns that explore")
    put_decisions(artifacts, [decision(program, "ada", 2, drawn=("n0", "n1", "n2"), time=START - 1)])
    assert reason_of(store, artifacts).startswith("nothing was drawn since the model was trained")
    put_decisions(artifacts, [decision(program, "bob", 3, drawn=("n0", "n1", "n2"), time=later)])
    assert reason_of(store, artifacts, now=later + 1).startswith("nothing was drawn since the model was trained")
    assert reason_of(store, artifacts).startswith("the model knows none of the actions that were drawn, or pools")


def test_answers_to_users_who_are_held_out_are_no_model_s(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    made = decision(program_of(store), "ada", 1, drawn=(), time=START + DAY_SECONDS, lift="holdout")
    put_decisions(artifacts, [made])
    report = compute_decision_report(store, artifacts, INCARNATION, model_version=None, now=NOW)
    assert (report.decisions, report.held_out, report.weeks) == (1, 1, ())


def test_the_report_by_its_endpoint(store: DynamoStore, table: Table) -> None:
    caller = Caller(store, table, random=Random(1))
    path = "/program/decisions/report"
    assert caller("GET", path)[0] == 404
    assert caller("PUT", path, {})[0] == 200
    status, answer = caller("PUT", path, {"model_version": VERSION})
    assert (status, answer["detail"][0]["loc"]) == (422, ["body", "model_version"])
    assert caller("PUT", path, {"model_version": "../secret"})[0] == 422
    with pytest.raises(InvalidInput, match="has no model"):
        compute_decision_report(store, caller.artifacts, INCARNATION, model_version=VERSION, now=NOW)
    compute_decision_report(store, caller.artifacts, INCARNATION, model_version=None, now=NOW)
    assert caller("GET", path)[1] == {
        "program_id": PROGRAM.program_id,
        "now": NOW,
        "days": 90,
        "decisions": 0,
        "held_out": 0,
        "user_share": 1.0,
        "horizon_days": PROGRAM.horizon_days,
        "weeks": [],
        "candidate": None,
    }
