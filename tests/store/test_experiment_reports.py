"""Reports of experiments, from files of decisions and the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nextbest.domain.assets import Asset
from nextbest.domain.decisions import ACTIONHUB, DecidedAction, Decision, derived_salt, user_hash
from nextbest.domain.events import DAY_SECONDS, Event
from nextbest.domain.experiments import Experiment, ExperimentKind, ExperimentPlan, ExperimentState
from nextbest.domain.programs import GoalEventType, Program
from nextbest.errors import InUse, NotFound
from nextbest.lift.attribution import attribute
from nextbest.logic.decision_files import decision_files
from nextbest.logic.experiment_reports import columns_of, compute_report
from nextbest.logic.experiments import delete_experiment
from nextbest.logic.report_files import reports_of, stored_report
from nextbest.logic.users import delete_user
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM

START = 1_790_000_000.0
NOW = START + 20 * DAY_SECONDS
USERS = [f"user-{number:04d}" for number in range(400)]
INCARNATION = PROGRAM.incarnation
RUNNING = Experiment(
    "lift", "Lift", ExperimentKind.HOLDOUT, 0.5, 7, START, state=ExperimentState.RUNNING, started_at=START
)


def program_of(store: DynamoStore) -> Program:
    """The program as it is now, with its decision key."""
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    return state.program


def orders_of(store: DynamoStore, user_id: str) -> int:
    return sum(event.event_type == "order" for event in store.events_of(INCARNATION, user_id))


@pytest.fixture
def artifacts(store: DynamoStore) -> MemoryArtifacts:
    """A program of which half of the users are held out: 10 % of them order, and 40 % of the others."""
    store.change_program(INCARNATION, lambda program: replace(program, goal=(GoalEventType("order", 3.0),)))
    program = program_of(store)
    random = np.random.default_rng(1)
    decisions, events = [], []
    for number, user in enumerate(USERS):
        variant = RUNNING.variant_of(user).name
        time = START + float(random.uniform(0, 10)) * DAY_SECONDS
        decisions.append(
            Decision(
                recommendation_id=f"RID-{number}",
                time=time,
                program=PROGRAM.program_id,
                dialect=ACTIONHUB,
                user=user_hash(derived_salt(program.decision_key, user), user),
                experiments={"lift": variant},
                model="m",
                filter=None,
                filter_values={},
                allow_repeats=True,
                limit=1,
                actions=(DecidedAction("order", "tea", 0.1, 0.0),),
            )
        )
        # Everybody has events, and with them a salt; an order is the goal.
        events.append(Event(user, round((START - DAY_SECONDS) * 1e6), "view", "tea"))
        if random.random() < (0.1 if variant == "holdout" else 0.4):
            events.append(Event(user, round((time + 3600) * 1e6), "order", "tea"))
    store.append(program, events)
    made = MemoryArtifacts()
    lines = [
        (str(place), json.dumps({"incarnation": INCARNATION, "decision": decision.members()}))
        for place, decision in enumerate(decisions)
    ]
    for name, content in {**decision_files(lines[:300]), **decision_files(lines[250:])}.items():  # 50 come twice
        made.put(name, content)
    store.create_experiment(INCARNATION, RUNNING)
    return made


def test_a_planted_effect_is_found_with_its_interval(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    report = compute_report(store, artifacts, INCARNATION, "lift", now=NOW)

    assert (report.users, report.complete_users, report.moved_users) == (400, 400, 0)
    assert report.headline == "value"
    assert report.is_decided
    assert report.verdict.startswith("model sells more: +0.")
    value = next(each for each in report.measures if each.measure == "value")
    interval = value.comparisons[0].decisive.difference.always_valid
    assert interval is not None
    assert interval.low < 0.9 < interval.high  # .3 more orders a user, worth 3 each
    stored = stored_report(artifacts, INCARNATION, "lift")
    assert stored["verdict"] == report.verdict
    assert (stored["program_id"], stored["experiment_id"]) == (PROGRAM.program_id, "lift")


def test_a_report_keeps_to_the_plan(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    plan = ExperimentPlan(START, 1_000, mean=0.4, deviation=0.5, effect=0.3, users=350)
    planned = replace(RUNNING, experiment_id="planned", headline="rate", least_effect=0.75, plan=plan)
    store.create_experiment(INCARNATION, planned)

    report = compute_report(store, artifacts, INCARNATION, "planned", now=NOW)

    assert report.headline == "rate"  # though the program has a goal
    stored = stored_report(artifacts, INCARNATION, "planned")
    assert (stored["least_effect"], stored["plan"]["users"]) == (0.75, 350)
    assert len(stored["days"]) == 0  # nobody had a decision of this experiment
    measured = compute_report(store, artifacts, INCARNATION, "lift", now=NOW)
    assert measured.days[-1].users + measured.days[-2].users == 400


def test_outcomes_of_a_deleted_user_are_nobody_s(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    before = columns_of(store, artifacts, program_of(store), RUNNING, now=NOW)
    user = next(user for user in USERS if orders_of(store, user))

    delete_user(store, artifacts, INCARNATION, user, now=NOW)
    store.append(program_of(store), [Event(user, round((NOW - 60) * 1e6), "order", "tea")])  # they come back
    after = columns_of(store, artifacts, program_of(store), RUNNING, now=NOW)

    assert orders_of(store, user) == 1
    assert len(after.outcomes.user) == len(before.outcomes.user) - 1
    assert len(after.decisions.user) == len(before.decisions.user)


def test_an_event_that_names_its_decision_is_credited_to_it_alone_with_its_own_value(
    store: DynamoStore, artifacts: MemoryArtifacts
) -> None:
    program, user = program_of(store), USERS[0]
    time = START + 11 * DAY_SECONDS
    again = Decision(
        recommendation_id="RID-again",
        time=time,
        program=PROGRAM.program_id,
        dialect=ACTIONHUB,
        user=user_hash(derived_salt(program.decision_key, user), user),
        experiments={"lift": RUNNING.variant_of(user).name},
        model="m",
        filter=None,
        filter_values={},
        allow_repeats=True,
        limit=1,
        actions=(DecidedAction("order", "tea", 0.1, 0.0),),
    )
    line = json.dumps({"incarnation": INCARNATION, "decision": again.members()})
    for name, content in decision_files([("again", line)]).items():
        artifacts.put(name, content)
    moment = round((time + 60) * 1e6)
    store.append(program, [Event(user, moment, "order", "tea", "1", recommendation_id="RID-0", event_value=20.0)])

    columns = columns_of(store, artifacts, program, RUNNING, now=NOW)
    credited = attribute(columns.decisions, columns.outcomes, 14.0)

    (outcome,) = np.flatnonzero(columns.outcomes.value == 20.0)
    decision = credited.last[outcome]
    assert columns.decisions.time[decision] < time  # the later one showed it too
    assert credited.decisions[outcome] == 1


def test_outcomes_are_worth_what_they_say_or_what_their_action_is_worth_or_what_the_goal_says(
    store: DynamoStore, artifacts: MemoryArtifacts
) -> None:
    store.put_assets(INCARNATION, [Asset("club", fields={"VALUE": 7}), Asset("app", fields={"VALUE": "high"})])
    moment = round((START + 11 * DAY_SECONDS) * 1e6)
    events = [
        *(Event(USERS[0], moment + place, "order", asset) for place, asset in enumerate(("club", "app", "mug"))),
        Event(USERS[0], moment + 3, "order", "club", event_value=19.99),
        Event(USERS[0], moment + 4, "order", "mug", event_value=-19.99),
        Event(USERS[0], moment + 5, "view", "club", event_value=50.0),
    ]
    store.append(program_of(store), events)

    outcomes = columns_of(store, artifacts, program_of(store), RUNNING, now=NOW).outcomes

    new = np.flatnonzero(outcomes.time >= moment / 1e6)
    worth = outcomes.value[new[np.argsort(outcomes.time[new])]].tolist()
    assert worth == [7.0, 3.0, 3.0, 19.99, -19.99]


def test_there_is_nothing_to_report_before_the_start(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    store.create_experiment(INCARNATION, replace(RUNNING, state=ExperimentState.DRAFT, started_at=None))

    with pytest.raises(InUse, match="was not started"):
        compute_report(store, artifacts, INCARNATION, "lift", now=NOW)
    with pytest.raises(NotFound):
        compute_report(store, artifacts, INCARNATION, "none", now=NOW)
    with pytest.raises(NotFound):
        stored_report(artifacts, INCARNATION, "lift")


def test_without_decisions_it_is_too_early(store: DynamoStore) -> None:
    store.create_experiment(INCARNATION, RUNNING)

    assert (
        compute_report(store, MemoryArtifacts(), INCARNATION, "lift", now=NOW).verdict == "no users in variant holdout"
    )


class Interrupted(MemoryArtifacts):
    """Before it stores a file, ``interrupt`` is called."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        super().__init__()
        self._interrupt = interrupt

    def put(self, key: str, data: bytes) -> None:
        self._interrupt()
        super().put(key, data)


def test_no_report_is_left_of_what_is_deleted_while_it_is_computed(store: DynamoStore) -> None:
    over = replace(RUNNING, experiment_id="over", state=ExperimentState.STOPPED, stopped_at=NOW)
    store.create_experiment(INCARNATION, over)
    interrupted = Interrupted(lambda: delete_experiment(store, interrupted, INCARNATION, "over"))

    with pytest.raises(NotFound):
        compute_report(store, interrupted, INCARNATION, "over", now=NOW)

    assert interrupted.names(reports_of(INCARNATION)) == []
