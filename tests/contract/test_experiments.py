"""A holdout on the running stack, from its draft to its end: what each user gets, in both dialects, and its records."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pytest

from nextbest.domain.experiments import number_of
from nextbest.domain.rebase_status import COMPLETE
from tests.contract.conftest import Program
from tests.contract.personalize_clients import Personalize, arn
from tests.contract.stacks import RunningStack
from tests.contract.test_decisions import recorded
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

SHARE = 0.5
USERS = [f"user-{number}" for number in range(12)]
HELD_OUT = [user for user in USERS if number_of("lift", user) < SHARE]
SERVED = [user for user in USERS if user not in HELD_OUT]
CAMPS = (("tea", "scone"), ("espresso", "cortado"))
NOTE, DECISION = "x-nextbest-note", "x-nextbest-decision"


class Answer(NamedTuple):
    """Assets with their growth weights or scores, the recommendation id, and the note."""

    actions: list[tuple[str, float]]
    recommendation_id: str
    note: str

    @property
    def assets(self) -> list[str]:
        return [asset for asset, _ in self.actions]


@pytest.fixture
def rebased(program: Program, clients: Personalize) -> Program:
    """A program whose even users take tea and scones, the odd ones coffee; everybody belongs to the club."""
    now = int(time.time())
    for place, user in enumerate(USERS):
        for days in range(1, 40, 3):
            clients.take(program.program_id, user, *CAMPS[place % 2], at=now - days * 86_400 - 60 * place)
        clients.take(program.program_id, user, "club", at=now - 86_400)
    answer = program.http.put("/program/rebase")
    assert answer.status_code == 200, answer.text
    wait_until(lambda: program.http.get("/program/status").json()["status_id"] == COMPLETE, seconds=120)
    return program


def answers_to(program: Program, clients: Personalize, user: str) -> tuple[Answer, Answer]:
    """What the user gets from ActionHub and from Personalize."""
    answer = program.http.get(f"/users/{user}/actions", params={"limit": 5})
    assert answer.status_code == 200, answer.text
    actions = [(entry["asset_id"], entry["growth_weight"]) for entry in answer.json()["actions"]]
    response = clients.runtime.get_action_recommendations(campaignArn=arn("campaign", program.program_id), userId=user)
    scores = [(entry["actionId"], entry["score"]) for entry in response["actionList"]]
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    return (
        Answer(actions, answer.headers[DECISION], answer.headers.get(NOTE, "")),
        Answer(scores, response["recommendationId"], headers.get(NOTE, "")),
    )


def call(program: Program, method: str, path: str, body: object = None) -> dict[str, Any]:
    answer = program.http.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    experiment: dict[str, Any] = answer.json()
    return experiment


def assert_as_before(before: dict[str, tuple[Answer, Answer]], now: dict[str, tuple[Answer, Answer]]) -> None:
    """These users get what they got before, without a note."""
    for user, answers in now.items():
        assert [answer.assets for answer in answers] == [answer.assets for answer in before[user]]
        assert [answer.note for answer in answers] == ["", ""]


def test_a_holdout_from_its_draft_to_its_end(stack: RunningStack, rebased: Program, clients: Personalize) -> None:
    assert len(HELD_OUT) >= 4
    assert len(SERVED) >= 4

    def answers(users: list[str]) -> dict[str, tuple[Answer, Answer]]:
        return {user: answers_to(rebased, clients, user) for user in users}

    before = answers(USERS)
    draft = {"name": "Lift", "experiment_id": "lift", "kind": "holdout", "share": SHARE}
    assert call(rebased, "POST", "/experiments", draft)["state"] == "draft"
    assert_as_before(before, answers(HELD_OUT[:1]))

    assert call(rebased, "PUT", "/experiments/lift/start")["state"] == "running"
    held_out, served = answers(HELD_OUT), answers(SERVED)
    # Who is held out gets one list, whatever they like; for the others nothing changes
    popular = [answer.actions for answer in held_out[HELD_OUT[0]]]
    assert [actions[0][0] for actions in popular] == ["club", "club"]
    for both in held_out.values():
        assert [answer.actions for answer in both] == popular
        assert {answer.note for answer in both} == {"the experiment lift holds this user out: the popular list"}
    assert_as_before(before, served)
    # The record of each answer has the variant
    variants = {
        answer.recommendation_id: {"lift": variant}
        for variant, users in (("holdout", held_out), ("model", served))
        for both in users.values()
        for answer in both
    }
    wait_until(lambda: variants.keys() <= recorded(stack, rebased).keys(), seconds=60)
    records = recorded(stack, rebased)
    assert {name: records[name].experiments for name in variants} == variants
    assert records[before[HELD_OUT[0]][0].recommendation_id].experiments == {}

    assert call(rebased, "PUT", "/experiments/lift/stop")["state"] == "stopped"
    assert_as_before(before, answers(USERS))
