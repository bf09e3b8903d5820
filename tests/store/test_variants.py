"""What users get while experiments run, in both dialects, on one engine: which one makes no difference here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nextbest.actionhub.actions import ActionsEndpoint
from nextbest.domain.assets import EXPIRY, Asset
from nextbest.domain.events import Event
from nextbest.domain.experiments import ChallengerSettings, Experiment, ExperimentKind, HoldoutList, number_of
from nextbest.domain.programs import EventTypeOrder, GoalEventType, ListCap, RestRule
from nextbest.logic import experiments
from nextbest.logic.authorization import SecretCredentials
from nextbest.logic.rebase import Rebase
from nextbest.logic.recommendations import Recommender
from nextbest.personalize.protocol.arns import CAMPAIGN, FILTER, Arns
from nextbest.personalize.runtime.action_recommendations import ActionList, PersonalizeRuntimeEndpoints
from nextbest.scoring import Model
from nextbest.store.base import ModelPointer, ProgramState
from nextbest.store.dynamo import DynamoStore
from tests.factories import ticking_clock
from tests.store.conftest import PROGRAM, create_table, dynamodb
from tests.store.test_narrowing import GOLD, HOUR, NOW, Shop

INCARNATION = PROGRAM.incarnation
HOLDOUT = Experiment("holdout", "Holdout", ExperimentKind.HOLDOUT, 0.5, 14, NOW)
USERS = [f"user-{number}" for number in range(8)]
HELD_OUT = [user for user in USERS if number_of("holdout", user) < 0.5]
OTHERS = [user for user in USERS if user not in HELD_OUT]


def challenger(share: float = 0.999999, **settings: Any) -> Experiment:
    return Experiment(
        "rival", "Rival", ExperimentKind.CHALLENGER, share, 14, NOW, challenger=ChallengerSettings(**settings)
    )


class Trial(Shop):
    """The shop, with experiments and the other dialect; espresso is ordered by most, mocha is only viewed."""

    def __init__(self, store: DynamoStore) -> None:
        super().__init__(store)
        store.put_assets(INCARNATION, [Asset("tea", "Tea", (), {"PRICE": 2})])
        self._credentials = SecretCredentials.read(self.key)
        self.start_again()

    def start_again(self) -> None:
        """Go on in a cold environment."""
        self.recommender = Recommender(self.store, self.artifacts)
        self.endpoint = ActionsEndpoint(self.recommender)
        self._personalize = PersonalizeRuntimeEndpoints(self.recommender, lambda: "m" * 32).recommender

    @staticmethod
    def events() -> list[Event]:
        takers = {
            ("order", "espresso"): USERS[:7],
            ("order", "latte"): USERS[:5],
            ("view", "mocha"): USERS[:6],
            ("order", "mocha"): USERS[:2],
            ("view", "tea"): USERS[-3:],
        }
        return [
            Event(user, round((NOW - hours * HOUR) * 1e6), event_type, drink)
            for (event_type, drink), users in takers.items()
            for place, user in enumerate(users)
            for hours in (5 + place, 300 + place, 600 + 7 * place)
        ]

    @property
    def state(self) -> ProgramState:
        state = self.store.program_state(PROGRAM.program_id)
        assert state is not None
        return state

    def rebased(self, *, hours: float = 0.0) -> ModelPointer:
        return Rebase(self.store, self.artifacts, INCARNATION, clock=ticking_clock(NOW + hours * HOUR)).run()

    def run(self, experiment: Experiment) -> None:
        experiments.create_experiment(self.store, self.artifacts, INCARNATION, experiment)
        experiments.start_experiment(self.store, self.artifacts, INCARNATION, experiment.experiment_id, now=NOW)

    def set(self, **settings: Any) -> None:
        self.store.change_program(INCARNATION, lambda program: replace(program, **settings))

    def taken_by(self, user_id: str, event_type: str, asset_id: str) -> None:
        self.store.append(PROGRAM, [Event(user_id, round((NOW - 60) * 1e6), event_type, asset_id)])

    def body(self, user_id: str, **query: str) -> list[dict[str, Any]]:
        response = self.respond(user_id, **query)
        assert response.status == 200, response.body
        actions: list[dict[str, Any]] = json.loads(response.body)["actions"]
        return actions

    def rates(self, user_id: str, **query: str) -> list[tuple[str, str, float]]:
        return [(row["event_type"], row["asset_id"], row["growth_weight"]) for row in self.body(user_id, **query)]

    def personalize(self, user_id: str, *, now: float = NOW, **members: Any) -> ActionList:
        arns = Arns()
        body = {"campaignArn": arns.of(CAMPAIGN, PROGRAM.program_id), "userId": user_id, "numResults": 10, **members}
        return self._personalize.recommend(json.dumps(body).encode(), self._credentials, now=now, request_id="r")


@pytest.fixture
def trial(start_engine: Callable[[str], str]) -> Trial:
    store = DynamoStore(create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}"))
    store.create_program(PROGRAM)
    made = Trial(store)
    made.rebase()
    return made


def rate(takers: int) -> Any:
    """The base rate of what so many of the eight users took: as if one more took everything at the uninformed rate."""
    return pytest.approx((takers + 0.01) / 9, rel=1e-6)


POPULAR = [
    ("order", "espresso", rate(7)),
    ("view", "mocha", rate(6)),
    ("order", "latte", rate(5)),
    ("view", "tea", rate(3)),
    ("order", "mocha", rate(2)),
]


def test_who_is_held_out_gets_the_same_popular_list_whatever_they_did(trial: Trial) -> None:
    trial.run(HOLDOUT)
    assert len(HELD_OUT) > 1
    for user in HELD_OUT:
        assert trial.rates(user) == POPULAR
        assert [row["base_weight"] > 0 for row in trial.body(user)] == [
            any(entry.user_id == user and (entry.event_type, entry.asset_id) == row[:2] for entry in trial.events())
            for row in POPULAR
        ]
    trial.taken_by(HELD_OUT[0], "order", "water")  # what no model knows yet
    assert trial.rates(HELD_OUT[0]) == POPULAR
    assert trial.rates(HELD_OUT[1], limit="2") == POPULAR[:2]


def test_who_is_held_out_gets_the_same_popular_assets_in_the_other_dialect(trial: Trial) -> None:
    trial.run(HOLDOUT)
    for user in HELD_OUT:
        answer = trial.personalize(user)
        assert dict(answer.scores) == {"espresso": rate(7), "mocha": rate(6), "latte": rate(5), "tea": rate(3)}
        assert list(answer.scores) == ["espresso", "mocha", "latte", "tea"]
        assert answer.log_fields()["decision"]["experiments"] == {"holdout": "holdout"}
        assert "exploration" not in answer.log_fields()
        assert answer.headers()["x-nextbest-note"] == "the experiment holdout holds this user out: the popular list"


def test_everybody_else_is_served_as_without_the_experiment(trial: Trial) -> None:
    before = {user: (trial.body(user), trial.personalize(user)) for user in OTHERS}
    trial.run(HOLDOUT)
    for user, (actions, answer) in before.items():
        assert trial.body(user) == actions
        assert answer.decision is not None
        decision = replace(answer.decision, experiments={"holdout": "model"})
        assert trial.personalize(user) == replace(answer, decision=decision)


def test_nothing_that_was_learned_reaches_who_is_held_out(trial: Trial) -> None:
    trial.run(HOLDOUT)
    before, others = trial.rates(HELD_OUT[0]), trial.rates(OTHERS[0])
    assert trial.state.model is not None
    place = trial.state.model.key
    model = Model.from_bytes(trial.artifacts.get(place))
    repeats, discoveries = (
        replace(
            mode, prior=-mode.prior, terms=(), calibration=replace(mode.calibration, levels=mode.calibration.levels * 0)
        )
        for mode in (model.repeats, model.discoveries)
    )
    trial.artifacts.put(place, replace(model, repeats=repeats, discoveries=discoveries).to_bytes())
    trial.start_again()
    assert trial.rates(OTHERS[0]) != others
    assert trial.rates(HELD_OUT[0]) == before


def test_the_records_of_answers_name_the_variants(trial: Trial) -> None:
    assert trial.respond(HELD_OUT[0]).fields["decision"]["experiments"] == {}
    trial.run(HOLDOUT)
    assert trial.respond(HELD_OUT[0]).fields["decision"]["experiments"] == {"holdout": "holdout"}
    assert trial.respond(OTHERS[0]).fields["decision"]["experiments"] == {"holdout": "model"}


def test_settings_of_the_program_hold_for_the_popular_list(trial: Trial) -> None:
    trial.run(HOLDOUT)
    user = HELD_OUT[0]
    trial.set(never_recommended=("view",), action_weight_floor=0.99)
    assert trial.rates(user) == [row for row in POPULAR if row[0] == "order"]
    assert set(trial.personalize(user).scores) == {"espresso", "latte", "mocha"}
    trial.set(never_recommended=(), done_once=("order",))
    did = {(entry.event_type, entry.asset_id) for entry in trial.events() if entry.user_id == user}
    assert trial.rates(user) == [row for row in POPULAR if row[0] != "order" or row[:2] not in did]
    assert ("order", "espresso") in did
    trial.set(done_once=(), event_type_order=(EventTypeOrder("order", ("sign_up",)),))
    assert trial.rates(user) == [row for row in POPULAR if row[0] != "order"]
    trial.taken_by(user, "sign_up", "club")
    assert trial.rates(user) == POPULAR


def test_the_contact_policy_holds_for_the_popular_list(trial: Trial) -> None:
    trial.run(HOLDOUT)
    user = HELD_OUT[0]
    trial.set(most_per_list=(ListCap("order", 1),))
    assert trial.rates(user) == [row for row in POPULAR if row[0] != "order" or row[1] == "espresso"]
    assert set(trial.personalize(user).scores) == {"espresso", "mocha", "tea"}
    assert trial.rates(user, limit="2") == POPULAR[:2]
    trial.set(most_per_list=(), rest_rules=(RestRule(("decline",), 2, 7, 30),))
    for minutes in (1, 2):
        trial.store.append(PROGRAM, [Event(user, round((NOW - 60 * minutes) * 1e6), "decline", "espresso")])
    assert trial.rates(user) == [row for row in POPULAR if row[1] != "espresso"]
    assert "espresso" not in trial.personalize(user).scores


def test_what_requests_narrow_down_holds_for_the_popular_list(trial: Trial) -> None:
    trial.run(HOLDOUT)
    user = HELD_OUT[0]
    did = {(entry.event_type, entry.asset_id) for entry in trial.events() if entry.user_id == user}
    assert trial.rates(user, allow_repeats="false") == [row for row in POPULAR if row[:2] not in did]
    assert trial.rates(user, event_types="order") == [row for row in POPULAR if row[0] == "order"]
    assert trial.rates(user, filter=GOLD) == [row for row in POPULAR if row[1] in ("espresso", "mocha")]
    assert trial.refused(event_types="nothing")["loc"] == ["query", "event_types"]
    explained = trial.body(user, explain="true")
    assert [row["explanation"] for row in explained] == [None] * len(POPULAR)


def test_what_is_not_available_is_not_popular(trial: Trial) -> None:
    trial.run(HOLDOUT)
    user = HELD_OUT[0]
    trial.put_filter("gold", GOLD)
    assert set(trial.personalize(user, filterArn=Arns().of(FILTER, "gold")).scores) == {"espresso", "mocha"}
    expired = Asset("espresso", "Espresso", (), {EXPIRY: round(NOW) - 1})
    trial.store.put_assets(INCARNATION, [expired])
    assert "espresso" not in trial.personalize(user).scores


def test_the_goal_is_none_of_the_popular_list_but_is_checked(trial: Trial) -> None:
    trial.run(HOLDOUT)
    assert trial.refused(objective="goal")["loc"] == ["query", "objective"]
    response = trial.respond(HELD_OUT[0], objective="goal")
    assert response.status == 422
    trial.set(goal=(GoalEventType("order", 1.0),))
    trial.rebased(hours=1)
    assert [row[:2] for row in trial.rates(HELD_OUT[0], objective="goal")] == [row[:2] for row in POPULAR]


def test_a_holdout_may_get_nothing(trial: Trial) -> None:
    trial.run(replace(HOLDOUT, holdout_list=HoldoutList.NOTHING))
    response = trial.respond(HELD_OUT[0])
    assert json.loads(response.body) == {"actions": []}
    note = "the experiment holdout holds this user out: nothing is recommended"
    assert response.headers["x-nextbest-note"] == note
    answer = trial.personalize(HELD_OUT[0])
    assert answer.members()["actionList"] == []
    assert answer.headers()["x-nextbest-note"] == note
    assert trial.personalize(OTHERS[0]).scores


def test_a_holdout_without_a_popular_list_says_so(trial: Trial) -> None:
    trial.run(HOLDOUT)
    trial.store.forget_model(INCARNATION)
    for headers in (trial.respond(HELD_OUT[0]).headers, trial.personalize(HELD_OUT[0]).headers()):
        assert "no popular list before the next rebase" in headers["x-nextbest-note"]
        assert headers["x-nextbest-model"] == "untrained"


def test_a_challenger_serves_the_model_that_it_names_beside_the_champion(trial: Trial) -> None:
    first = trial.state.model
    assert first is not None
    trial.run(challenger(0.5, model_version=first.version))
    second = trial.rebased(hours=1)
    challenged = {user for user in USERS if number_of("rival", user) < 0.5}
    assert 0 < len(challenged) < len(USERS)
    for place in range(3):
        for user in USERS:
            version = first.version if user in challenged else second.version
            assert trial.respond(user).headers["x-nextbest-model"] == version
            assert trial.respond(user, filter=GOLD).headers["x-nextbest-model"] == version
            assert trial.personalize(user).model_version == version
        if place == 0:
            trial.artifacts.reads = 0
    assert trial.artifacts.reads == 0  # both stay in memory


def test_a_challenger_whose_model_cannot_be_read_serves_as_the_champion_does(
    trial: Trial, caplog: pytest.LogCaptureFixture
) -> None:
    first = trial.state.model
    assert first is not None
    trial.run(challenger(model_version=first.version))
    second = trial.rebased(hours=1)
    del trial.artifacts.files[first.key]
    for _ in range(2):
        assert trial.respond("user-1").headers["x-nextbest-model"] == second.version
        assert trial.personalize("user-1").model_version == second.version
    assert [record.message for record in caplog.records if "cannot be read" in record.message] == [
        "a model cannot be read; the last good one serves on"
    ]


@pytest.mark.parametrize(
    ("settings", "query"),
    [
        ({"event_types": ("order",)}, {"event_types": "order"}),
        ({"allow_repeats": False}, {"allow_repeats": "false"}),
        ({"event_types": ("view",), "allow_repeats": False}, {"event_types": "view", "allow_repeats": "false"}),
    ],
)
def test_a_challenger_serves_as_if_requests_said_so(
    trial: Trial, settings: dict[str, Any], query: dict[str, str]
) -> None:
    expected = [trial.body(user, **query) for user in USERS]
    assert expected != [trial.body(user) for user in USERS]
    trial.run(challenger(**settings))
    assert [trial.body(user) for user in USERS] == expected
    assert [trial.body(user, filter=GOLD) for user in USERS] == [
        [row for row in rows if row["asset_id"] in ("espresso", "mocha")] for rows in expected
    ]


@pytest.mark.parametrize("settings", [{"action_weight_floor": 0.3}, {"never_recommended": ("view",)}])
def test_a_challenger_serves_as_if_the_program_said_so(trial: Trial, settings: dict[str, Any]) -> None:
    plain = [(trial.body(user), trial.personalize(user).scores) for user in USERS]
    trial.set(**settings)
    expected = [(trial.body(user), trial.personalize(user).scores) for user in USERS]
    assert expected != plain
    trial.set(action_weight_floor=0.0, never_recommended=())
    trial.run(challenger(**settings))
    assert [(trial.body(user), trial.personalize(user).scores) for user in USERS] == expected


def test_an_unknown_action_of_another_type_is_not_recommended_by_a_challenger(trial: Trial) -> None:
    trial.taken_by("user-1", "order", "water")
    trial.taken_by("user-1", "return", "latte")
    before = {row[:2] for row in trial.rates("user-1")}
    assert ("order", "water") in before
    trial.run(challenger(event_types=("view",)))
    assert {row[:2] for row in trial.rates("user-1")} == {row for row in before if row[0] == "view"}
    assert set(trial.personalize("user-1").scores) == {asset for kind, asset in before if kind == "view"}


def test_a_challenger_without_repeats_leaves_out_assets_that_were_done_in_the_other_dialect(trial: Trial) -> None:
    trial.run(challenger(allow_repeats=False))
    done = {entry.asset_id for entry in trial.events() if entry.user_id == "user-4"}
    offered = set(trial.personalize("user-4").scores)
    assert offered
    assert not offered & done


def test_a_challenger_explores_with_its_own_weight(trial: Trial) -> None:
    trial.store.put_assets(INCARNATION, [Asset(f"new-{number}", fields={"PRICE": 1}) for number in range(5)])
    trial.run(challenger(exploration_weight=0.0))
    assert trial.personalize("user-1").explored.rows == ()
    experiments.stop_experiment(trial.store, INCARNATION, "rival", now=NOW)
    assert trial.personalize("user-1").explored.rows != ()


def test_what_a_challenger_leaves_nothing_of_is_noted(trial: Trial) -> None:
    trial.run(challenger(action_weight_floor=0.9999))
    response = trial.respond("user-1")
    assert json.loads(response.body) == {"actions": []}
    assert "action_weight_floor of the challenger" in response.headers["x-nextbest-note"]


def test_challengers_also_serve_before_there_is_a_model(trial: Trial) -> None:
    trial.run(challenger(event_types=("view",)))
    trial.store.forget_model(INCARNATION)
    assert {row[0] for row in trial.rates("user-1")} == {"view"}
    scores = trial.personalize("user-1").scores
    assert {asset for asset, score in scores.items() if score > 0} == {"mocha"}
