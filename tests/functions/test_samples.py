"""Every sample event through its function: answered as the contract says, with what the function's role allows.

So the samples are true, and the roles of the template suffice: a permission that a function needs and does not have
would show only after a deployment.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import md5
from typing import Any

import boto3
import pytest

from nextbest.domain.access_keys import READ, issue_key
from nextbest.domain.decisions import Decision
from nextbest.domain.experiments import ChallengerSettings, Experiment, ExperimentKind, ExperimentState
from nextbest.store.base import ExperimentChange
from tests.functions.conftest import PROGRAM, Functions
from tests.infrastructure.permissions import ALLOWED
from tests.infrastructure.test_events import names_of_kind, sample
from tools.local.engines import REGION
from tools.local.key import MASTER_SECRET
from tools.local.samples import drop_file, sign_again

PAGE = {"items", "total", "page", "size"}
PROGRAM_SETTINGS = {
    *("program_id", "program_name", "description"),
    *("high_engagement_threshold", "event_relevance_decay", "action_weight_floor"),
}
KEY = {"key_id", "name", "programs", "scopes", "generation", "active"}
KEY |= {"ts_created", "ts_previous_expires", "ts_expires"}
EXPERIMENT = {
    *("experiment_id", "name", "kind", "state", "share", "variants", "horizon_days"),
    *("headline", "least_effect", "plan"),
    *("ts_created", "ts_started", "ts_stopped", "ts_promoted"),
}
HOLDOUT, CHALLENGER = EXPERIMENT | {"holdout_list"}, EXPERIMENT | {"challenger"}
MEMBERS = {
    "actions/get-actions": {"actions"},
    "collect/post-events": {"result", "accepted", "duplicates"},
    "collect/put-action-interactions": set[str](),
    "collect/put-actions": set[str](),
    "collect/put-events": set[str](),
    "collect/put-items": set[str](),
    "collect/put-users": set[str](),
    "manage/delete-experiment": {"result"},
    "manage/delete-key": KEY,
    "manage/delete-user": {"program_id", "user_id", "events", "histories", "attributes", "memberships"},
    "manage/export-user": {"program_id", "user_id", "events", "attributes", "memberships", "next_token"},
    "manage/get-assets": PAGE,
    "manage/get-decision-report": {
        *("program_id", "now", "days", "decisions", "held_out", "user_share", "horizon_days", "weeks", "candidate"),
    },
    "manage/get-experiment": HOLDOUT,
    "manage/get-experiment-report": {
        *("program_id", "experiment_id", "now", "users", "complete_users", "moved_users", "sample_ratio"),
        *("headline", "least_effect", "plan", "verdict", "is_decided", "measures", "credited", "days"),
    },
    "manage/get-experiments": {"experiments"},
    "manage/get-import-locations": {"program_id", "import_locations"},
    "manage/get-keys": {"keys"},
    "manage/get-labels": PAGE,
    "manage/get-program": PROGRAM_SETTINGS,
    "manage/get-program-status": {"program_id", "status_id", "message", "ts_logged"},
    "manage/get-program-model": {
        *("program_id", "version", "ts_trained", "horizon_days", "events", "users", "actions"),
        *("modes", "drift", "notes", "versions"),
    },
    "manage/get-programs": {"programs"},
    "manage/get-segments": PAGE,
    "manage/get-user-events": {"history"},
    "manage/get-user-labels": {"labels"},
    "manage/otherwise": {"detail"},
    "manage/personalize-control-plane": {"filterArn"},
    "manage/post-assets": {"result"},
    "manage/post-experiments": HOLDOUT,
    "manage/post-keys": KEY | {"api_key"},
    "manage/post-programs": {"program_id", "api_key"},
    "manage/promote-experiment": CHALLENGER,
    "manage/put-decision-report": {"result"},
    "manage/put-experiment": HOLDOUT,
    "manage/put-experiment-plan": {"result"},
    "manage/put-experiment-report": {"result"},
    "manage/put-import-locations": {"program_id", "import_locations"},
    "manage/put-key": KEY | {"api_key"},
    "manage/put-labels": {"result"},
    "manage/put-program": {"result"},
    "manage/put-program-model": {"result"},
    "manage/rebase-program": {"result"},
    "manage/rebase-user": {"result"},
    "manage/reset-program": {"result"},
    "manage/start-experiment": HOLDOUT,
    "manage/stop-experiment": CHALLENGER,
    "recommendations/get-action-recommendations": {"actionList", "recommendationId"},
}
"""The members of the JSON object that answers each sample."""

OTHER_BODIES = {
    "console/get-page": ("text/html", "<!doctype html>"),
    "console/get-console": ("application/json", ""),
    "console/get-root": ("application/json", ""),
    "console/post-form": ("application/json", ""),
    "manage/get-docs": ("text/html", "<!doctype html>"),
    "manage/get-openapi": ("application/json", '{\n  "openapi":'),
    "manage/get-random-user-id": ("application/json", '"ada"'),
    "manage/get-segment": ("text/plain", "ada"),
}
"""Content type and beginning of the answers that are documents or no JSON object."""

STATUSES = {"manage/otherwise": 404, "console/get-console": 303, "console/get-root": 303, "console/post-form": 303}
REBASES_BEFORE = {
    "manage/get-program-model": 1,
    "manage/get-program-status": 1,
    "manage/get-segment": 1,
    "manage/get-segments": 1,
    "manage/put-program-model": 2,
    "manage/reset-program": 1,
    "manage/start-experiment": 1,
}


Change = Callable[[Any], Any]


def run(functions: Functions, name: str, change: Change = lambda event: event) -> Any:
    """What the sample's function answers to the sample, or to what ``change`` makes of it."""
    return functions.answer(name.split("/")[0], sign_again(change(sample(name))))


def prepare(functions: Functions, name: str) -> None:
    """Have done by the function ``rebase`` what the sample needs."""
    for _ in range(REBASES_BEFORE.get(name, 0)):
        run(functions, "rebase/program")
    if name == "manage/get-experiment-report":
        run(functions, "rebase/program", lambda event: {**event, "experiment": "sample-running"})
        assert functions.permissions() <= ALLOWED["rebase"]
    if name == "manage/get-decision-report":
        run(functions, "rebase/program", lambda event: {**event, "decisions": "report"})
        assert functions.permissions() <= ALLOWED["rebase"]


@pytest.fixture
def used(functions: Functions) -> Functions:
    """The functions, when the user of the samples has events, and what else the samples name is there."""
    run(functions, "collect/post-events")
    run(functions, "manage/post-assets")
    put_named_resources(functions)
    return functions


def put_named_resources(functions: Functions) -> None:
    """The key and the experiments that samples name."""
    key_id = sample("manage/put-key")["pathParameters"]["key_id"]
    key, _ = issue_key(MASTER_SECRET, key_id, programs=(PROGRAM.incarnation,), scopes=(READ,))
    functions.store.put_access_key(key)
    draft = Experiment("sample", "Sample", ExperimentKind.HOLDOUT, 0.1, 14, 1.0)
    planned = replace(draft, experiment_id="sample-plan", least_effect=0.1)
    functions.store.create_experiment(PROGRAM.incarnation, planned)
    functions.store.create_experiment(PROGRAM.incarnation, draft)
    rival = ChallengerSettings(never_recommended=("return",))
    running = Experiment("sample-running", "Rival", ExperimentKind.CHALLENGER, 0.5, 14, 1.0, challenger=rival)
    functions.store.create_experiment(PROGRAM.incarnation, running)
    functions.store.change_experiment(
        PROGRAM.incarnation,
        running.experiment_id,
        lambda _, before: ExperimentChange(replace(before, state=ExperimentState.RUNNING, started_at=time.time() - 60)),
    )


@pytest.mark.parametrize("name", names_of_kind("HttpApi"))
def test_an_http_sample_is_answered_with_what_the_role_allows(used: Functions, name: str) -> None:
    prepare(used, name)

    answer = run(used, name)

    assert answer["statusCode"] == STATUSES.get(name, 200), answer
    if name in OTHER_BODIES:
        content_type, beginning = OTHER_BODIES[name]
        assert answer["headers"]["content-type"].partition(";")[0] == content_type
        assert answer["body"].lower().startswith(beginning)
    else:
        assert json.loads(answer["body"]).keys() == MEMBERS[name]
    assert used.permissions() <= ALLOWED[name.split("/")[0]]


@pytest.mark.parametrize(
    ("name", "member"),
    [("actions/get-actions", "actions"), ("recommendations/get-action-recommendations", "actionList")],
)
def test_the_user_of_the_samples_gets_recommendations_of_the_model(used: Functions, name: str, member: str) -> None:
    model = run(used, "rebase/program")["model"]
    run(used, name)
    answer = run(used, name)

    assert answer["statusCode"] == 200, answer
    assert answer["headers"]["x-nextbest-model"] == model
    assert json.loads(answer["body"])[member]
    assert used.permissions() == {"dynamodb:BatchGetItem"}  # warm: one kind of call, and it reads


def behind(prefix: str, *, stage: str = "$default", domain: str = "api.example.com") -> Change:
    """Moves an event behind a path that precedes its route's, as a named stage or a custom domain's base path does."""

    def moved(event: Any) -> Any:
        headers = {**event["headers"], "host": domain}
        context = {**event["requestContext"], "stage": stage, "domainName": domain}
        return {**event, "rawPath": prefix + event["rawPath"], "headers": headers, "requestContext": context}

    return moved


def as_list_filters(event: Any) -> Any:
    """The control plane's sample as another operation, posted where SDKs post it."""
    headers = {**event["headers"], "x-amz-target": "AmazonPersonalize.ListFilters"}
    changes = {"routeKey": "$default", "rawPath": "/personalize/", "body": "{}", "isBase64Encoded": False}
    return {**event, **changes, "headers": headers}


@pytest.mark.parametrize(
    "change",
    [
        behind("/prod", stage="prod", domain="a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"),
        behind("/v1"),
        behind("/prod/next/best", stage="prod"),
    ],
    ids=["stage", "base path", "both"],
)
@pytest.mark.parametrize(
    "name",
    [
        "actions/get-actions",
        "collect/post-events",
        "collect/put-action-interactions",
        "manage/get-docs",
        "manage/get-program",
        "manage/get-user-events",
        "recommendations/get-action-recommendations",
    ],
)
def test_what_precedes_a_route_changes_no_answer(used: Functions, name: str, change: Change) -> None:
    answer = run(used, name, change)

    assert answer["statusCode"] == 200, answer


@pytest.mark.parametrize("change", [behind("/prod", stage="prod"), behind("/v1")], ids=["stage", "base path"])
def test_the_control_plane_answers_wherever_sdks_post_it(used: Functions, change: Change) -> None:
    for posted in (as_list_filters, lambda event: change(as_list_filters(event))):
        answer = run(used, "manage/personalize-control-plane", posted)

        assert answer["statusCode"] == 200, answer
        assert "Filters" in json.loads(answer["body"])


def test_the_queued_sample_is_stored(functions: Functions) -> None:
    assert run(functions, "ingest/queued-events") == {"batchItemFailures": []}

    assert functions.permissions() <= ALLOWED["ingest"]
    assert list(functions.store.scan_events(PROGRAM.incarnation))


def test_the_bus_sample_is_stored(functions: Functions) -> None:
    assert run(functions, "ingest/bus-events") == {}

    assert functions.permissions() <= ALLOWED["ingest"]
    assert list(functions.store.scan_events(PROGRAM.incarnation))


def test_the_file_of_the_inbox_sample_is_stored_and_reported_on(functions: Functions) -> None:
    bucket: Any = boto3.client("s3", region_name=REGION)
    drop_file(bucket)

    assert run(functions, "ingest/inbox-files") == {}

    assert functions.permissions() <= ALLOWED["ingest"]
    assert {user_id for user_id, *_ in functions.store.scan_events(PROGRAM.incarnation)} == {"ada", "bob"}
    new = sample("ingest/inbox-files")["detail"]
    written = bucket.get_object(Bucket=new["bucket"]["name"], Key=f"{new['object']['key']}.report.json")["Body"].read()
    assert (json.loads(written)["status"], json.loads(written)["stored"]) == ("done", 2)


@pytest.mark.parametrize("name", names_of_kind("CloudWatchLogs"))
def test_decisions_of_the_log_samples_are_written_by_day_and_once(functions: Functions, name: str) -> None:
    bucket: Any = boto3.client("s3", region_name=REGION)

    def files() -> dict[str, bytes]:
        listed = bucket.list_objects_v2(Bucket="artifacts-local", Prefix="decisions/")["Contents"]
        names = [entry["Key"] for entry in listed]
        return {key: bucket.get_object(Bucket="artifacts-local", Key=key)["Body"].read() for key in names}

    assert run(functions, name) == {}
    assert functions.permissions() <= ALLOWED["decisions"]
    written = files()
    assert sorted(key.rpartition("/")[0] for key in written) == [
        f"decisions/{PROGRAM.incarnation}/{day}" for day in ("2026-10-01", "2026-10-02")
    ]
    lines = [line for content in written.values() for line in gzip.decompress(content).splitlines()]
    assert len({Decision.from_json(line).recommendation_id for line in lines}) == 3
    # Delivered again, they make the same files
    run(functions, name)
    assert files() == written


def test_a_file_that_cannot_be_read_moves_with_what_the_role_allows(functions: Functions) -> None:
    bucket: Any = boto3.client("s3", region_name=REGION)
    bucket.put_object(Bucket="artifacts-local", Key="inbox/demo/a b+c.csv", Body=b"no,columns\n1,2\n")

    def of_this_file(event: Any) -> Any:
        thing = {"key": "inbox/demo/a b+c.csv", "etag": md5(b"no,columns\n1,2\n", usedforsecurity=False).hexdigest()}
        return {**event, "detail": {**event["detail"], "object": thing}}

    assert run(functions, "ingest/inbox-files", of_this_file) == {}

    # Of deletions, those of versions take one more; this one makes a marker.
    assert functions.permissions() - {"s3:DeleteObjectVersion"} <= ALLOWED["ingest"]
    listed = bucket.list_objects_v2(Bucket="artifacts-local")["Contents"]
    assert {entry["Key"] for entry in listed} == {"rejected/demo/a b+c.csv", "rejected/demo/a b+c.csv.report.json"}


@pytest.mark.parametrize("name", ["rebase/program", "rebase/schedule"])
def test_a_rebase_sample_rebases(used: Functions, name: str) -> None:
    answer = run(used, name)

    if name == "rebase/schedule":
        assert answer == {"started": [PROGRAM.program_id]}
        (answer,) = used.run_started()
    assert answer["model"] if name == "rebase/program" else answer["models"]
    assert "s3:PutObject" in used.permissions()
    assert used.permissions() <= ALLOWED["rebase"]


def test_work_for_a_program_that_was_deleted_meanwhile_is_no_failure(functions: Functions) -> None:
    gone = {"program_id": PROGRAM.program_id, "incarnation": f"{PROGRAM.program_id}@gone"}

    for event in (gone, {**gone, "only": "segments"}):
        assert functions.answer("rebase", event) == {}
    assert functions.store.status(PROGRAM.incarnation) is None
