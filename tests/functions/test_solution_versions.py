"""Every rebase is a solution version, and the schedule trains the solutions that ask for it, when they ask for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from nextbest.domain.access_keys import ADMIN, AccessKey
from nextbest.domain.assets import Asset
from nextbest.domain.event_columns import EventColumns
from nextbest.domain.events import Event
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.programs import Incarnation, Program
from nextbest.domain.rebase_status import COMPLETE, FAILED
from nextbest.errors import InUse, InvalidInput, NotFound
from nextbest.logic import event_log
from nextbest.logic.programs import rebase_status
from nextbest.logic.training_plan import MAX_VERSIONS, outdated_versions, training_period_days
from nextbest.personalize.control.dispatch import MODEL, OPERATIONS
from nextbest.personalize.control.resources import ControlCall, ControlPlane
from nextbest.personalize.jobs.schedule import NOTHING_NEW
from nextbest.personalize.protocol.arns import CAMPAIGN, VERSION, Arns
from nextbest.personalize.protocol.model_shapes import input_shape
from nextbest.scoring import Model
from nextbest.store.base import Status
from nextbest.training import train
from tests.factories import MemoryArtifacts, user_events
from tests.functions.conftest import PROGRAM, Functions
from tests.store.test_control_plane import RECIPE, arn

DAY, HOUR = 86_400.0, 3_600.0
GROUP = arn(f"dataset-group/{PROGRAM.program_id}")
OWN = arn(f"solution/{PROGRAM.program_id}")
SCHEDULE = {"programs": "all"}
REBASE = {"program_id": PROGRAM.program_id}


class Control:
    """The control plane as the operator sees it; a version that is created is trained at once."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._random = Random(5)

    def __call__(self, operation: str, **members: Any) -> Mapping[str, Any]:
        plane = ControlPlane(
            self._functions.store, Arns(), self._train, lambda *_: None, lambda *_: None,
            self._random, MemoryArtifacts(), ImportRules("artifacts"),
        )  # fmt: skip
        checked = input_shape(MODEL, operation).check(members)
        key = AccessKey("NBKOPERATOR", "", (), (ADMIN,))
        return OPERATIONS[operation](ControlCall(plane, key, checked, time.time())) or {}

    def _train(self, incarnation: Incarnation, version: str) -> None:
        event = {**REBASE, "incarnation": incarnation, "solution_version": version}
        self._functions.answer("rebase", event)

    def solution(self, name: str, *, rate: str | None = None, **members: Any) -> str:
        config = {"autoTrainingConfig": {"schedulingExpression": rate}} if rate is not None else {}
        arguments = {"name": name, "datasetGroupArn": GROUP, "recipeArn": RECIPE, "solutionConfig": config, **members}
        return str(self("CreateSolution", **arguments)["solutionArn"])

    def versions(self, solution: str) -> list[tuple[str, str]]:
        """Status and training type of the versions of a solution, the oldest first."""
        rows = self("ListSolutionVersions", solutionArn=solution)["solutionVersions"]
        rows.sort(key=lambda row: row["creationDateTime"])
        return [(row["status"], row["trainingType"]) for row in rows]

    def age(self, functions: Functions, *, days: float) -> None:
        """Let the versions that there are be of so many days ago."""
        for version in list(functions.store.list_resources([PROGRAM.incarnation], VERSION)):
            older = {**version, "created": version["created"] - days * DAY}
            functions.store.put_resource(PROGRAM.incarnation, VERSION, version["name"], older)


@pytest.fixture(scope="module")
def learned() -> list[Model]:
    """What the first rebase learned."""
    return []


@pytest.fixture(autouse=True)
def each_program_is_learned_alike(learned: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first rebase learns: what is tested here is when there is one, and what becomes of it."""

    def learn(events: EventColumns, **settings: Any) -> Model:
        if not learned:
            learned.append(train(events, **settings))
        return learned[0]

    monkeypatch.setattr(event_log, "train", learn)


@pytest.fixture
def control(functions: Functions) -> Control:
    for user in range(6):
        functions.store.append(PROGRAM, user_events(f"user-{user}", 12, now=time.time(), every_seconds=20_000 + user))
    return Control(functions)


def run_schedule(functions: Functions) -> None:
    """A run of the schedule, and of what it starts."""
    functions.answer("rebase", SCHEDULE)
    functions.run_started()


@pytest.mark.parametrize(
    ("event", "training_type"), [(REBASE, "MANUAL"), (SCHEDULE, "AUTOMATIC")], ids=["asked for", "by the schedule"]
)
def test_a_rebase_of_a_program_without_solutions_is_a_version_of_its_own(
    functions: Functions, control: Control, event: dict[str, str], training_type: str
) -> None:
    assert control.versions(OWN) == []
    began = time.time()

    functions.answer("rebase", event)
    functions.run_started()

    (row,) = control("ListSolutionVersions", solutionArn=OWN)["solutionVersions"]
    described = control("DescribeSolutionVersion", solutionVersionArn=row["solutionVersionArn"])["solutionVersion"]
    assert (described["status"], described["trainingType"], described["trainingMode"]) == (
        "ACTIVE", training_type, "FULL",
    )  # fmt: skip
    assert described["solutionArn"] == OWN
    assert described["datasetGroupArn"] == GROUP
    assert described["recipeArn"] == RECIPE
    assert began - 1 <= described["creationDateTime"] <= described["lastUpdatedDateTime"] <= time.time() + 1
    assert 0 <= described["trainingHours"] < 0.1
    latest = f"{OWN}/$LATEST"
    assert control("DescribeSolutionVersion", solutionVersionArn=latest)["solutionVersion"] == described
    metrics = control("GetSolutionMetrics", solutionVersionArn=latest)
    assert metrics["solutionVersionArn"] == row["solutionVersionArn"]
    assert "coverage" in metrics["metrics"]
    solution = control("DescribeSolution", solutionArn=OWN)["solution"]
    assert solution["latestSolutionVersion"]["solutionVersionArn"] == row["solutionVersionArn"]
    assert solution["performAutoTraining"] is True


def test_a_rebase_that_fails_is_a_failed_version_with_the_reason(functions: Functions) -> None:
    control = Control(functions)
    with pytest.raises(InvalidInput):
        functions.answer("rebase", REBASE)

    (row,) = control("ListSolutionVersions", solutionArn=OWN)["solutionVersions"]
    assert (row["status"], row["failureReason"]) == ("CREATE FAILED", "there are no events to learn from yet")
    with pytest.raises(InUse):
        control("GetSolutionMetrics", solutionVersionArn=row["solutionVersionArn"])


def test_a_rebase_of_a_program_with_solutions_is_of_the_one_trained_last(
    functions: Functions, control: Control
) -> None:
    older, newer = control.solution("older"), control.solution("newer")
    functions.answer("rebase", REBASE)
    assert control.versions(newer) == [("ACTIVE", "MANUAL")]

    control("CreateSolutionVersion", solutionArn=older)
    functions.answer("rebase", REBASE)

    assert control.versions(older) == [("ACTIVE", "MANUAL")] * 2
    assert control.versions(newer) == [("ACTIVE", "MANUAL")]
    assert control.versions(OWN) == []


def test_the_schedule_trains_the_solutions_that_are_trained_automatically(
    functions: Functions, control: Control
) -> None:
    # Given one that is trained automatically as on AWS unless told otherwise, one that is not, and one every 7 days
    usual, never = control.solution("usual"), control.solution("never", performAutoTraining=False)
    weekly = control.solution("weekly", rate="rate(7 days)")

    def of_all() -> tuple[int, int, int]:
        return len(control.versions(usual)), len(control.versions(never)), len(control.versions(weekly))

    # Then each has versions made as it says
    run_schedule(functions)
    assert of_all() == (1, 0, 1)
    assert control.versions(usual) == control.versions(weekly) == [("ACTIVE", "AUTOMATIC")]
    control.age(functions, days=6.5)
    run_schedule(functions)
    assert of_all() == (2, 0, 1)
    control.age(functions, days=0.49)  # the schedule is as exact as a quarter of an hour
    run_schedule(functions)
    assert of_all() == (3, 0, 2)
    # And what is updated counts from the next run on
    control("UpdateSolution", solutionArn=usual, performAutoTraining=False)
    control("UpdateSolution", solutionArn=never, performAutoTraining=True)
    rate = {"autoTrainingConfig": {"schedulingExpression": "rate(1 day)"}}
    control("UpdateSolution", solutionArn=weekly, solutionUpdateConfig=rate)
    control.age(functions, days=1)
    run_schedule(functions)
    assert of_all() == (3, 1, 3)


def test_a_program_whose_solutions_are_not_trained_automatically_is_left_alone_until_somebody_asks(
    functions: Functions, control: Control
) -> None:
    solution = control.solution("manual", performAutoTraining=False)

    assert functions.answer("rebase", SCHEDULE) == {"started": []}
    assert control.versions(solution) == []
    functions.answer("rebase", REBASE)
    control("CreateSolutionVersion", solutionArn=solution)

    assert control.versions(solution) == [("ACTIVE", "MANUAL")] * 2


CHANGES: dict[str, Callable[[Functions], object]] = {
    "an event": lambda functions: functions.store.append(
        present(functions), [Event("ada", round(time.time() * 1e6), "order", "tea")]
    ),
    "a setting": lambda functions: functions.store.change_program(
        PROGRAM.incarnation, lambda program: replace(program, half_life_days=7)
    ),
    "a deleted user": lambda functions: functions.store.erase_user(PROGRAM.incarnation, "user-1", now=time.time()),
    "an asset": lambda functions: functions.store.put_assets(PROGRAM.incarnation, [Asset("tea", "Tea")]),
    "a reset": lambda functions: functions.store.forget_model(PROGRAM.incarnation),
    "a rebase that failed": lambda functions: functions.store.put_status(
        Status(PROGRAM.incarnation, FAILED, "the disk is full", time.time())
    ),
    "a rebase that waits": lambda functions: (
        functions.store.take_lease(PROGRAM.incarnation, "killed", "{}", now=0.0, expires_at=2.0)
        and functions.store.wait_for_lease(PROGRAM.incarnation, "{}", now=1.0)
    ),
}


def present(functions: Functions) -> Program:
    state = functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    return state.program


@pytest.fixture
def settled(functions: Functions, control: Control) -> Control:
    """A program that was trained two hours after the last event."""
    functions.store.note_rebase(PROGRAM.incarnation, now=time.time() - 2 * HOUR)
    run_schedule(functions)
    assert len(control.versions(OWN)) == 1
    return control


def test_a_program_in_which_nothing_changed_is_trained_again_only_where_somebody_asks(
    functions: Functions, settled: Control, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert functions.answer("rebase", SCHEDULE) == {"started": []}

    status = rebase_status(functions.store, PROGRAM.incarnation, now=time.time())
    assert status.status_id == COMPLETE
    assert "is kept: no event, import or setting has changed" in status.message
    assert [vars(record)["reason"] for record in caplog.records if record.message == "not rebased"] == [NOTHING_NEW] * 2
    functions.answer("rebase", REBASE)
    assert len(settled.versions(OWN)) == 2


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_a_program_has_it_trained_again(functions: Functions, change: str) -> None:
    CHANGES[change](functions)

    assert functions.answer("rebase", SCHEDULE) == {"started": [PROGRAM.program_id]}


def test_an_event_that_was_on_its_way_while_a_rebase_read_the_log_is_learned_by_the_next(
    functions: Functions, control: Control
) -> None:
    # Given a writer who had read the program before, and writes after the rebase has read the log
    before = present(functions)
    run_schedule(functions)
    functions.store.append(before, [Event("ada", round(time.time() * 1e6), "order", "tea")])

    run_schedule(functions)

    assert len(control.versions(OWN)) == 2


def test_a_solution_that_was_not_trained_yet_is_trained_though_nothing_changed(
    functions: Functions, settled: Control
) -> None:
    solution = settled.solution("new")

    run_schedule(functions)

    assert settled.versions(solution) == [("ACTIVE", "AUTOMATIC")]


@pytest.mark.parametrize(
    ("solutions", "days"),
    [
        ([], 0.0),
        ([{"performAutoTraining": False}], float("inf")),
        ([{"rate": "rate(7 days)"}], 7.0),
        ([{"rate": "rate(7 days)"}, {}, {"performAutoTraining": False}], 0.0),
        ([{"rate": "rate(7 days)"}, {"performAutoTraining": False}], 7.0),
    ],
    ids=["none", "by hand alone", "weekly", "each run and others", "weekly and by hand"],
)
def test_the_days_between_trainings_are_those_of_the_solution_trained_most_often(
    functions: Functions, control: Control, solutions: list[dict[str, Any]], days: float
) -> None:
    """By them a model is too old or not: the doctor warns of none that nobody asked to train."""
    for number, members in enumerate(solutions):
        control.solution(f"solution-{number}", **members)

    assert training_period_days(functions.store, PROGRAM) == days


def test_an_automatic_training_predicts_as_far_ahead_as_its_solution_says_and_the_one_in_service_stays(
    functions: Functions, control: Control
) -> None:
    def period(days: int) -> dict[str, Any]:
        return {"featureTransformationParameters": {"action_optimization_period": str(days)}}

    serving, other = (control.solution(name, solutionConfig=period(days)) for name, days in (("a", 7), ("b", 28)))
    control("CreateSolutionVersion", solutionArn=other)
    control("CreateSolutionVersion", solutionArn=serving)

    run_schedule(functions)

    assert control.versions(serving) == control.versions(other) == [("ACTIVE", "MANUAL"), ("ACTIVE", "AUTOMATIC")]
    state = functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.program.horizon_days == 7
    assert state.model is not None
    rows = list(functions.store.list_resources([PROGRAM.incarnation], VERSION))
    (served,) = (row for row in rows if row["model"] == state.model.version)
    assert served["solution"] == "a"


def test_a_campaign_of_the_latest_version_follows_automatic_trainings(functions: Functions, control: Control) -> None:
    solution = control.solution("s")
    run_schedule(functions)
    config = {"syncWithLatestSolutionVersion": True}
    campaign = control("CreateCampaign", name="c", solutionVersionArn=f"{solution}/$LATEST", campaignConfig=config)
    first = control("DescribeSolutionVersion", solutionVersionArn=f"{solution}/$LATEST")["solutionVersion"]

    run_schedule(functions)

    described = control("DescribeCampaign", **campaign)["campaign"]
    assert described["solutionVersionArn"] == f"{solution}/$LATEST"
    arguments = {"solutionVersionArn": described["solutionVersionArn"]}
    second = control("DescribeSolutionVersion", **arguments)["solutionVersion"]
    assert second["status"] == "ACTIVE"
    assert second["creationDateTime"] > first["creationDateTime"]


def test_a_dataset_group_without_solutions_has_one_while_there_are_versions(
    functions: Functions, control: Control
) -> None:
    # Given a program that was created as a dataset group, and trained by the schedule before it had a solution
    group = control("CreateDatasetGroup", name="g")["datasetGroupArn"]
    assert control("ListSolutions", datasetGroupArn=group)["solutions"] == []
    state = functions.store.program_state("g")
    assert state is not None
    functions.store.append(state.program, user_events("ada", 20, now=time.time()))
    functions.answer("rebase", {"program_id": "g"})

    (solution,) = control("ListSolutions", datasetGroupArn=group)["solutions"]
    assert solution["solutionArn"] == arn("solution/g")

    control("DeleteSolution", solutionArn=solution["solutionArn"])
    assert control("ListSolutions", datasetGroupArn=group)["solutions"] == []
    with pytest.raises(NotFound):
        control("DescribeSolution", solutionArn=solution["solutionArn"])
    control("DeleteDatasetGroup", datasetGroupArn=group)


def test_the_versions_that_rebases_made_are_bounded(functions: Functions) -> None:
    # Given as many as there may be, two more, and one that a client created
    owner, store = PROGRAM.incarnation, functions.store
    ids = {"program_id": PROGRAM.program_id, "incarnation": owner, "solution": "demo", "status": "ACTIVE"}
    for place in range(MAX_VERSIONS + 2):
        name = f"demo/{place:08x}"
        row = {**ids, "name": name, "created": float(place), "by_rebase": True}
        store.put_resource(owner, VERSION, name, row)
    store.put_resource(owner, VERSION, "demo/aaaaaaaa", {**ids, "name": "demo/aaaaaaaa", "created": -1.0})
    # Then the oldest ones go, but for those that a campaign names
    program = Program(PROGRAM.program_id)
    assert set(outdated_versions(store, program, "demo")) == {"demo/00000000", "demo/00000001"}
    store.put_resource(owner, CAMPAIGN, "c", {**ids, "name": "c", "version": "demo/00000000"})
    assert outdated_versions(store, program, "demo") == ["demo/00000001"]
