"""The functions in Docker, from a clone to Ctrl-C: the README's request, all samples, and nothing left behind.

Run by ``make test-docker``, in the order of this file: a start takes a minute, so all tests share the first one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.stacks import ROOT, environment
from tests.docker.conftest import DockerStack, start
from tests.functions.test_samples import MEMBERS, OTHER_BODIES, STATUSES
from tests.waiting import wait_until
from tools.local.docker_stack import DIFFERENCES
from tools.local.samples import FOLDER

pytestmark = pytest.mark.docker

ACTIONS = "/users/grace/actions?limit=3&allow_repeats=false"
NAMES = [str(path.relative_to(FOLDER).with_suffix("")) for path in sorted(FOLDER.rglob("*.json"))]


def client_of(stack: DockerStack) -> httpx.Client:
    headers = {"actionhub-key": stack.key, "program-id": "demo"}
    # The first request to a function starts its container.
    return httpx.Client(base_url=stack.url, headers=headers, timeout=300)


def actions_of(response: httpx.Response) -> list[tuple[str, str]]:
    assert response.status_code == 200, response.text
    return [(action["event_type"], action["asset_id"]) for action in response.json()["actions"]]


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**environment(), **variables}, capture_output=True, text=True, check=False
    )


def test_it_says_what_differs(stack: DockerStack) -> None:
    assert DIFFERENCES in stack.output()


def test_the_readmes_request_is_answered_by_a_model_and_changes_after_one_more_event(stack: DockerStack) -> None:
    event = {
        "user_id": "grace",
        "event_timestamp": datetime.now(UTC).isoformat(),
        "event_type": "join",
        "asset_id": "coffee-club",
        "labels": ["app"],
    }
    with client_of(stack) as client:
        before = client.get(ACTIONS)
        accepted = client.post("/events", json={"events": [event]})
        after = client.get(ACTIONS)

    assert before.headers["x-nextbest-model"]
    assert accepted.json()["accepted"] == 1, accepted.text
    assert actions_of(before)[0] == ("join", "coffee-club")
    assert ("join", "coffee-club") not in actions_of(after)


def test_queued_events_are_stored(stack: DockerStack) -> None:
    event = {
        "user_id": "a guest of the queue",
        "event_timestamp": datetime.now(UTC).isoformat(),
        "event_type": "order",
        "asset_id": "latte",
        "labels": [],
    }
    with client_of(stack) as client:
        assert client.post("/events", params={"queue_updates": True}, json={"events": [event]}).status_code == 200

        wait_until(lambda: client.get("/users/a guest of the queue/events").status_code == 200, seconds=300)


@pytest.mark.parametrize(
    ("path", "user_id"),
    [
        # API Gateway decodes a path before it looks for the route, and so does SAM CLI: the default route answers.
        ("/users/a%2Fb/events", "a/b"),
        ("/users/%2Fa/events", "/a"),
        ("/users/a%252Fb/events", "a%2Fb"),
    ],
)
def test_users_with_slashes_in_their_ids_have_paths(stack: DockerStack, path: str, user_id: str) -> None:
    event = {
        "user_id": user_id,
        "event_timestamp": datetime.now(UTC).isoformat(),
        "event_type": "order",
        "asset_id": f"latte of {user_id}",
        "labels": [],
    }
    with client_of(stack) as client:
        assert client.get(path).status_code == 404
        assert client.post("/events", json={"events": [event]}).json()["accepted"] == 1
        response = client.get(path)

    assert [entry["asset_id"] for entry in response.json()["history"]] == [f"latte of {user_id}"], response.text


def test_a_page_of_another_name_is_refused(stack: DockerStack) -> None:
    assert httpx.get(stack.url, headers={"host": "evil.example"}).status_code == 403


@pytest.fixture(scope="module")
def responses(stack: DockerStack, sam_options: tuple[str, ...]) -> dict[str, Any]:
    """What the one command prints for each sample."""
    result = run(
        *(sys.executable, "-m", "tools.cli", "invoke", "events", "--state", str(stack.state)),
        f"--sam-options={' '.join(sam_options)}",
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return dict(zip(NAMES, map(json.loads, result.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_is_answered_well(responses: dict[str, Any], name: str) -> None:
    response = responses[name]

    match name.split("/")[0]:
        case "ingest":
            assert response in ({}, {"batchItemFailures": []})
        case "rebase":
            assert response.get("model") or response["models"]["demo"]
        case _:
            assert response["statusCode"] == STATUSES.get(name, 200), response
            if name in OTHER_BODIES:
                assert response["headers"]["content-type"].partition(";")[0] == OTHER_BODIES[name][0]
            else:
                assert json.loads(response["body"]).keys() == MEMBERS[name]


def test_the_documented_call_of_sam_itself_answers(stack: DockerStack, sam_options: tuple[str, ...]) -> None:
    variables = json.loads((stack.state / "stack.json").read_text())["variables"]

    result = run(
        str(Path(sys.executable).with_name("sam")),
        *("local", "invoke", "ActionsFunction", "--event", "events/actions/get-actions.json"),
        *(
            "--template",
            ".aws-sam/local/template.yaml",
            "--env-vars",
            str(stack.state / "variables.json"),
            *sam_options,
        ),
        **{name: value for name, value in variables.items() if name.startswith("AWS_")},
    )

    assert result.returncode == 0, result.stderr[-4000:]
    assert json.loads(result.stdout)["statusCode"] == 200


def test_ctrl_c_leaves_nothing_behind_three_times_in_a_row(
    stack: DockerStack, state: Path, sam_options: tuple[str, ...]
) -> None:
    for number in range(3):
        running = start(state, *sam_options) if number else stack
        if number:
            assert "nothing has changed since the last build" in running.output()
        with client_of(running) as client:
            assert actions_of(client.get(ACTIONS))

        running.interrupt()

        assert running.left_behind() == []
