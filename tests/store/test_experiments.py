"""The life of experiments, on every DynamoDB engine: one state machine, and of two changes at once only one is made."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from nextbest.aws.table import Table
from nextbest.domain.experiments import (
    MAX_RUNNING,
    ChallengerSettings,
    Experiment,
    ExperimentKind,
    ExperimentPlan,
    ExperimentState,
    HoldoutList,
)
from nextbest.domain.programs import Incarnation
from nextbest.errors import AlreadyExists, InUse, InvalidInput, NotFound, QuotaExceeded
from nextbest.logic import experiments
from nextbest.logic.experiment_plans import compute_plan
from nextbest.logic.program_removal import remove_program
from nextbest.logic.programs import reset_program
from nextbest.logic.rebase import Rebase
from nextbest.logic.report_files import put_report, stored_report
from nextbest.scoring import Model
from nextbest.store.base import ModelPointer, ProgramState
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts, drink_events, ticking_clock
from tests.store.conftest import PROGRAM

NOW = 1_750_000_000.0
INCARNATION = PROGRAM.incarnation
HOLDOUT = Experiment("holdout", "Holdout", ExperimentKind.HOLDOUT, 0.1, 14, NOW)


def challenger(experiment_id: str, **settings: Any) -> Experiment:
    return replace(
        HOLDOUT,
        experiment_id=experiment_id,
        kind=ExperimentKind.CHALLENGER,
        share=0.5,
        challenger=ChallengerSettings(**settings),
    )


class Laboratory:
    """A program with a model, and the calls that its experiments take."""

    def __init__(self, store: DynamoStore) -> None:
        self.store = store
        self.artifacts = MemoryArtifacts()
        store.append(PROGRAM, drink_events(6, now=NOW))

    def rebase(self, *, hours: float = 0.0) -> ModelPointer:
        clock = ticking_clock(NOW + hours * 3600)
        return Rebase(self.store, self.artifacts, INCARNATION, clock=clock).run()

    @property
    def state(self) -> ProgramState:
        state = self.store.program_state(PROGRAM.program_id)
        assert state is not None
        return state

    @property
    def running(self) -> list[str]:
        return [entry.experiment_id for entry in self.state.experiments]

    def create(self, experiment: Experiment) -> None:
        experiments.create_experiment(self.store, self.artifacts, INCARNATION, experiment)

    def change(self, experiment_id: str, **members: Any) -> None:
        experiments.change_experiment(self.store, self.artifacts, INCARNATION, experiment_id, members)

    def start(self, experiment_id: str) -> None:
        experiments.start_experiment(self.store, self.artifacts, INCARNATION, experiment_id, now=NOW + 1)

    def stop(self, experiment_id: str) -> None:
        experiments.stop_experiment(self.store, INCARNATION, experiment_id, now=NOW + 2)

    def promote(self, experiment_id: str) -> None:
        experiments.promote_experiment(self.store, self.artifacts, INCARNATION, experiment_id, now=NOW + 3)

    def delete(self, experiment_id: str) -> None:
        experiments.delete_experiment(self.store, self.artifacts, INCARNATION, experiment_id)

    def stored(self, experiment_id: str) -> Experiment:
        return self.store.experiment(INCARNATION, experiment_id)


@pytest.fixture
def laboratory(store: DynamoStore) -> Laboratory:
    made = Laboratory(store)
    made.rebase()
    return made


def test_an_experiment_is_drafted_started_and_stopped(laboratory: Laboratory) -> None:
    laboratory.create(HOLDOUT)
    assert laboratory.running == []

    laboratory.start("holdout")
    started = replace(HOLDOUT, state=ExperimentState.RUNNING, started_at=NOW + 1, headline="rate")
    assert laboratory.stored("holdout") == started
    assert laboratory.state.experiments == (started,)

    laboratory.stop("holdout")
    stopped = replace(started, state=ExperimentState.STOPPED, stopped_at=NOW + 2)
    assert list(laboratory.store.experiments(INCARNATION)) == [stopped]
    assert laboratory.running == []
    laboratory.delete("holdout")
    assert list(laboratory.store.experiments(INCARNATION)) == []


def test_what_the_state_does_not_allow_is_refused(laboratory: Laboratory) -> None:
    laboratory.create(HOLDOUT)
    laboratory.create(challenger("floor", action_weight_floor=0.1))
    refused: list[tuple[Callable[[str], None], str, str]] = [
        (laboratory.stop, "holdout", "does not run: it is draft"),
        (laboratory.promote, "floor", "has not run yet"),
        (laboratory.promote, "holdout", "nothing to promote"),
    ]
    for call, experiment_id, problem in refused:
        with pytest.raises(InUse, match=problem):
            call(experiment_id)
    laboratory.start("holdout")
    for call, problem in ((laboratory.start, "runs already"), (laboratory.delete, "stop it first")):
        with pytest.raises(InUse, match=problem):
            call("holdout")
    laboratory.stop("holdout")
    for call, problem in ((laboratory.start, "is over"), (laboratory.stop, "it is stopped")):
        with pytest.raises(InUse, match=problem):
            call("holdout")
    for call in (laboratory.start, laboratory.stop, laboratory.promote, laboratory.delete, laboratory.change):
        with pytest.raises(NotFound):
            call("nothing")


def test_a_draft_can_be_changed_and_what_runs_can_only_grow(laboratory: Laboratory) -> None:
    laboratory.create(HOLDOUT)
    laboratory.change("holdout", name="None", share=0.2, holdout_list=HoldoutList.NOTHING, horizon_days=3)
    laboratory.start("holdout")
    laboratory.change("holdout", name="Nobody", share=0.3)
    assert laboratory.stored("holdout").holdout_list is HoldoutList.NOTHING
    assert laboratory.state.experiments == (laboratory.stored("holdout"),)
    assert laboratory.state.experiments[0].share == 0.3

    with pytest.raises(InvalidInput, match="can only grow") as error:
        laboratory.change("holdout", share=0.29)
    assert error.value.field == "share"
    with pytest.raises(InUse, match="horizon_days cannot be changed"):
        laboratory.change("holdout", horizon_days=4)
    laboratory.stop("holdout")
    laboratory.change("holdout", name="Over", share=0.3)
    with pytest.raises(InUse, match="share cannot be changed"):
        laboratory.change("holdout", share=0.4)
    assert laboratory.stored("holdout").name == "Over"


def test_an_experiment_with_a_least_effect_is_planned_before_it_starts(laboratory: Laboratory) -> None:
    laboratory.create(replace(HOLDOUT, least_effect=0.5))
    with pytest.raises(InUse, match="not planned for yet"):
        laboratory.start("holdout")
    # Given too few users, when it is planned
    assert compute_plan(laboratory.store, INCARNATION, "holdout", now=NOW).users is None
    with pytest.raises(InUse, match="Nobody knows how many users the least_effect takes: fewer than 100 users"):
        laboratory.start("holdout")
    laboratory.change("holdout", name="Other")
    assert laboratory.stored("holdout").plan is not None
    # Then a change of what it depends on makes it void
    laboratory.change("holdout", least_effect=0.2)
    assert laboratory.stored("holdout").plan is None
    laboratory.change("holdout", least_effect=None)
    with pytest.raises(InUse, match="no least_effect to plan for"):
        compute_plan(laboratory.store, INCARNATION, "holdout", now=NOW)
    laboratory.start("holdout")
    assert laboratory.stored("holdout").headline == "rate"
    with pytest.raises(InUse, match="only a draft can be planned"):
        compute_plan(laboratory.store, INCARNATION, "holdout", now=NOW)


def test_a_plan_stays_what_it_was_when_the_experiment_began(laboratory: Laboratory) -> None:
    plan = ExperimentPlan(NOW, 1_000, 0.2, 0.4, 0.1, 1_234)
    laboratory.create(replace(HOLDOUT, headline="rate", least_effect=0.5, plan=plan))
    laboratory.start("holdout")
    for members in ({"headline": "value"}, {"least_effect": 0.1}, {"least_effect": None}, {"horizon_days": 1}):
        with pytest.raises(InUse, match="cannot be changed any more"):
            laboratory.change("holdout", **members)
    laboratory.change("holdout", share=min(HOLDOUT.share * 1.5, 0.9))
    assert laboratory.stored("holdout").plan == plan
    assert laboratory.state.experiments[0].plan == plan


def test_an_id_is_taken_once_and_their_number_is_limited(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.create(HOLDOUT)
    with pytest.raises(AlreadyExists):
        laboratory.create(HOLDOUT)
    monkeypatch.setattr(experiments, "MAX_EXPERIMENTS", 1)
    with pytest.raises(QuotaExceeded):
        laboratory.create(replace(HOLDOUT, experiment_id="second"))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (replace(HOLDOUT, challenger=ChallengerSettings(allow_repeats=False)), "challenger"),
        (challenger("e"), "challenger"),
        (challenger("e", model_version="0000000000000-000000000000"), "challenger.model_version"),
        (replace(challenger("e", allow_repeats=True), holdout_list=HoldoutList.NOTHING), "holdout_list"),
    ],
)
def test_what_could_never_run_is_refused(laboratory: Laboratory, wrong: Experiment, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        laboratory.create(wrong)
    assert error.value.field == field
    laboratory.create(replace(wrong, challenger=ChallengerSettings(), kind=ExperimentKind.HOLDOUT))
    with pytest.raises(InvalidInput) as error:
        laboratory.change(wrong.experiment_id, kind=wrong.kind, challenger=wrong.challenger)
    assert error.value.field in (field, "challenger")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (replace(HOLDOUT, experiment_id="-x"), "experiment_id"),
        (replace(HOLDOUT, name=""), "name"),
        (replace(HOLDOUT, name="n" * 257), "name"),
        (replace(HOLDOUT, share=float("nan")), "share"),
        (replace(HOLDOUT, share=1.0), "share"),
        (replace(HOLDOUT, horizon_days=0), "horizon_days"),
        (replace(HOLDOUT, horizon_days=366), "horizon_days"),
        (replace(HOLDOUT, least_effect=0.0), "least_effect"),
        (replace(HOLDOUT, least_effect=float("nan")), "least_effect"),
        (challenger("e", model_version="../models"), "challenger.model_version"),
        (challenger("e", exploration_weight=1.01), "challenger.exploration_weight"),
        (challenger("e", action_weight_floor=float("-inf")), "challenger.action_weight_floor"),
        (challenger("e", event_types=()), "challenger.event_types"),
        (challenger("e", event_types=("a\nb",)), "challenger.event_types"),
        (challenger("e", never_recommended=[str(number) for number in range(101)]), "challenger.never_recommended"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_no_experiment_may_have_are_refused(store: DynamoStore, wrong: Experiment, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        experiments.create_experiment(store, MemoryArtifacts(), INCARNATION, wrong)
    assert error.value.field == field
    assert list(store.experiments(INCARNATION)) == []


def test_what_runs_takes_no_such_value_either(laboratory: Laboratory) -> None:
    laboratory.create(HOLDOUT)
    laboratory.start("holdout")
    with pytest.raises(InvalidInput, match="below 1"):
        laboratory.change("holdout", share=1.5)
    assert laboratory.stored("holdout").share == HOLDOUT.share


def test_the_report_of_a_deleted_experiment_is_no_other_s(laboratory: Laboratory) -> None:
    for name in ("holdout", "holdout-2"):
        laboratory.create(replace(HOLDOUT, experiment_id=name))
        put_report(laboratory.artifacts, INCARNATION, name, {"verdict": "more"})
    laboratory.delete("holdout")
    laboratory.create(HOLDOUT)
    with pytest.raises(NotFound):
        stored_report(laboratory.artifacts, INCARNATION, "holdout")
    assert stored_report(laboratory.artifacts, INCARNATION, "holdout-2")["verdict"] == "more"


def test_only_so_many_run_at_once(laboratory: Laboratory) -> None:
    settings: list[dict[str, Any]] = [
        {"action_weight_floor": 0.1},
        {"allow_repeats": False},
        {"exploration_weight": 0.5},
        {"event_types": ("order",)},
    ]
    for number, changes in enumerate(settings):
        laboratory.create(challenger(f"e{number}", **changes))
    for number in range(MAX_RUNNING):
        laboratory.start(f"e{number}")
    with pytest.raises(InUse, match="at most 3"):
        laboratory.start("e3")
    laboratory.stop("e1")
    laboratory.start("e3")
    assert laboratory.running == ["e0", "e2", "e3"]


def test_of_two_starts_at_once_one_wins(laboratory: Laboratory) -> None:
    laboratory.create(HOLDOUT)

    def start(_: int) -> bool:
        try:
            laboratory.start("holdout")
        except InUse:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(start, range(4))) == 1
    assert laboratory.running == ["holdout"]


@pytest.mark.parametrize("other", ["another experiment was started", "it was changed", "the settings were changed"])
def test_a_change_made_from_what_is_no_longer_so_is_refused(laboratory: Laboratory, table: Table, other: str) -> None:
    laboratory.create(challenger("floor", action_weight_floor=0.25))
    laboratory.create(HOLDOUT)
    laboratory.start("floor")

    class Overtaken(DynamoStore):
        """Another writer comes between each reading and writing."""

        def change_experiment(self, incarnation: Incarnation, experiment_id: str, change: Any) -> None:
            def overtaken(state: ProgramState, before: Experiment) -> Any:
                changed = change(state, before)
                if other == "another experiment was started":
                    laboratory.start("holdout")
                elif other == "it was changed":
                    laboratory.change("floor", name="other")
                else:
                    laboratory.store.change_program(INCARNATION, lambda program: replace(program, description="new"))
                return changed

            super().change_experiment(incarnation, experiment_id, overtaken)

    slow = Overtaken(table)
    with pytest.raises(InUse, match="at the same time"):
        experiments.promote_experiment(slow, laboratory.artifacts, INCARNATION, "floor", now=NOW)
    assert laboratory.stored("floor").state is ExperimentState.RUNNING
    assert laboratory.state.program.action_weight_floor == PROGRAM.action_weight_floor


def test_a_challenger_is_promoted_with_its_settings_and_its_model(laboratory: Laboratory) -> None:
    first = laboratory.state.model
    assert first is not None
    second = laboratory.rebase(hours=1)
    settings = {"model_version": first.version, "action_weight_floor": 0.25, "never_recommended": ("return",)}
    laboratory.create(challenger("old", **settings))
    laboratory.start("old")
    laboratory.promote("old")

    state = laboratory.state
    assert (state.model, state.previous_model) == (first, second)
    assert (state.program.action_weight_floor, state.program.never_recommended) == (0.25, ("return",))
    promoted = laboratory.stored("old")
    assert (promoted.state, promoted.stopped_at, promoted.promoted_at) == (ExperimentState.STOPPED, NOW + 3, NOW + 3)
    assert laboratory.running == []
    with pytest.raises(InUse, match="promoted already"):
        laboratory.promote("old")
    # And the next rebase serves as ever.
    assert laboratory.state.model != laboratory.rebase(hours=2) == laboratory.state.model


def test_a_stopped_challenger_can_still_be_promoted(laboratory: Laboratory) -> None:
    laboratory.create(challenger("floor", action_weight_floor=0.25))
    laboratory.start("floor")
    laboratory.stop("floor")
    laboratory.promote("floor")
    assert laboratory.state.program.action_weight_floor == 0.25
    assert laboratory.stored("floor").stopped_at == NOW + 2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"exploration_weight": 0.5}, "UpdateCampaign"),
        ({"event_types": ("order",), "action_weight_floor": 0.1}, "never_recommended"),
        ({"allow_repeats": True}, "each request says it"),
    ],
)
def test_what_is_no_setting_of_the_program_is_not_promoted(
    laboratory: Laboratory, settings: dict[str, Any], reason: str
) -> None:
    laboratory.create(challenger("e", **settings))
    laboratory.start("e")
    with pytest.raises(InUse, match=reason):
        laboratory.promote("e")
    assert laboratory.running == ["e"]
    assert laboratory.state.program == PROGRAM


def test_nothing_runs_before_there_is_a_model_to_compare_with(store: DynamoStore) -> None:
    laboratory = Laboratory(store)
    laboratory.create(HOLDOUT)
    with pytest.raises(InUse, match="rebase it first"):
        laboratory.start("holdout")


def test_a_popular_list_takes_a_model_that_counted(laboratory: Laboratory) -> None:
    assert laboratory.state.model is not None
    place = laboratory.state.model.key
    counted = Model.from_bytes(laboratory.artifacts.get(place))
    laboratory.artifacts.put(place, replace(counted, base_rates=None).to_bytes())
    laboratory.create(HOLDOUT)
    laboratory.create(replace(HOLDOUT, experiment_id="nothing", holdout_list=HoldoutList.NOTHING))
    with pytest.raises(InUse, match="rebase the program first"):
        laboratory.start("holdout")
    laboratory.start("nothing")


def test_the_model_of_a_challenger_outlives_rebases_and_no_reset_takes_it_away(laboratory: Laboratory) -> None:
    assert laboratory.state.model is not None
    version = laboratory.state.model.version
    laboratory.create(challenger("old", model_version=version))
    laboratory.start("old")
    for hours in range(1, 4):
        laboratory.rebase(hours=hours)
    assert Model.from_bytes(laboratory.artifacts.get(f"models/{INCARNATION}/{version}.nbm")).actions

    with pytest.raises(InUse, match="stop it first"):
        reset_program(laboratory.store, laboratory.artifacts, INCARNATION, now=NOW)
    assert laboratory.state.model is not None
    laboratory.stop("old")
    assert reset_program(laboratory.store, laboratory.artifacts, INCARNATION, now=NOW) == 4
    with pytest.raises(InUse, match="no model until the next rebase"):
        laboratory.promote("old")


def test_deleting_a_program_deletes_its_experiments(laboratory: Laboratory, table: Table) -> None:
    laboratory.create(HOLDOUT)
    laboratory.create(challenger("floor", action_weight_floor=0.1))
    laboratory.start("holdout")
    remove_program(laboratory.store, laboratory.artifacts, INCARNATION)
    assert table.client.scan(TableName=table.name)["Items"] == []
    with pytest.raises(NotFound):
        laboratory.stop("holdout")


def test_a_program_of_the_same_id_has_none_of_them(laboratory: Laboratory) -> None:
    laboratory.create(HOLDOUT)
    laboratory.start("holdout")
    with pytest.raises(NotFound):
        experiments.stop_experiment(laboratory.store, Incarnation("coffee@bbbbbbbbbb"), "holdout", now=NOW)
    assert list(laboratory.store.experiments(Incarnation("coffee@bbbbbbbbbb"))) == []


def test_experiments_that_run_cost_no_read(laboratory: Laboratory, table: Table) -> None:
    calls: list[str] = []
    table.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    laboratory.store.read_user(INCARNATION, "user-1")
    without = calls.copy()
    laboratory.create(HOLDOUT)
    laboratory.start("holdout")
    calls.clear()
    read = laboratory.store.read_user(INCARNATION, "user-1")
    assert calls == without == ["BatchGetItem"]
    assert read.state is not None
    assert [entry.experiment_id for entry in read.state.experiments] == ["holdout"]


def test_changes_of_settings_leave_experiments_alone(laboratory: Laboratory) -> None:
    laboratory.create(HOLDOUT)
    laboratory.start("holdout")
    laboratory.store.change_program(INCARNATION, lambda program: replace(program, description="new"))
    laboratory.rebase(hours=1)
    assert laboratory.running == ["holdout"]
    assert laboratory.state.program.description == "new"
