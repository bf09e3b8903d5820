"""Checks of a deployment: each says what it saw, and how to fix what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from nextbest.domain.programs import Program
from nextbest.domain.rebase_status import FAILED
from nextbest.errors import ArtifactError
from nextbest.scoring import Model
from nextbest.training.drift import describe
from tools.cli.deployment import Deployment, OperationFailed

DAY_SECONDS = 86_400.0
OLD_MODEL_DAYS = 2.0
"""The schedule rebases daily; a model that missed one day is old."""

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was checked, its state, and how to fix it; ``fix`` is empty if it is ok."""

    subject: str
    state: str
    fix: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.fix


def examine(deployment: Deployment, *, now: float) -> Iterator[Finding]:
    """Run every check. ``now`` is seconds since 1970."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _api(deployment),
        lambda: _table(deployment),
        lambda: _bucket(deployment),
        lambda: _queues(deployment),
        lambda: _master_secret(deployment),
        lambda: _functions(deployment),
        lambda: _programs(deployment, now),
    ]
    for check in checks:
        try:
            yield from check()
        except (ClientError, BotoCoreError) as error:
            yield Finding("AWS", str(error), "check credentials, region and permissions, and that the resource exists")


def _api(deployment: Deployment) -> Iterator[Finding]:
    url = f"{deployment.url}/openapi.json"
    try:
        response = urllib3.request("GET", url, timeout=_TIMEOUT_SECONDS, retries=False)
    except urllib3.exceptions.HTTPError as error:
        fix = "make start" if deployment.is_local else "look at the stack's events in CloudFormation"
        yield Finding("API", f"{url} does not respond: {error}", fix)
        return
    is_ok = response.status == HTTPStatus.OK
    yield Finding("API", f"{url} responds with {response.status}", "" if is_ok else "look at the log of manage")


def _table(deployment: Deployment) -> Iterator[Finding]:
    dynamodb = deployment.client("dynamodb")
    table = dynamodb.describe_table(TableName=deployment.table_name)["Table"]
    status = table["TableStatus"]
    fix = "" if status == "ACTIVE" else "wait until it is ACTIVE, or restore it from a backup"
    yield Finding("table", f"{deployment.table_name} is {status}", fix)
    if deployment.is_local:
        return
    protected = table.get("DeletionProtectionEnabled", False)
    fix = "" if protected else "deploy again, or turn it on: without it all data can be deleted by mistake"
    yield Finding("table", f"deletion protection: {protected}", fix)
    backups = dynamodb.describe_continuous_backups(TableName=deployment.table_name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    fix = "" if recovery == "ENABLED" else "deploy again: without it a mistake cannot be undone"
    yield Finding("table", f"point-in-time recovery: {recovery}", fix)


def _bucket(deployment: Deployment) -> Iterator[Finding]:
    s3 = deployment.client("s3")
    versioning = s3.get_bucket_versioning(Bucket=deployment.bucket).get("Status", "off")
    fix = "" if versioning == "Enabled" else "deploy again: without versioning deleted artifacts cannot be restored"
    yield Finding("bucket", f"{deployment.bucket}, versioning {versioning}", fix)
    if deployment.is_local:
        return
    block = s3.get_public_access_block(Bucket=deployment.bucket)["PublicAccessBlockConfiguration"]
    fix = "" if all(block.values()) else "deploy again, or turn on Block Public Access for the bucket"
    yield Finding("bucket", f"public access blocked: {all(block.values())}", fix)


def _queues(deployment: Deployment) -> Iterator[Finding]:
    waiting = _depth(deployment, deployment.queue_url)
    yield Finding("queue", f"{waiting} messages waiting")
    dead = _depth(deployment, deployment.dead_letters_url)
    fix = "./nextbest dead-letters list, then redrive (docs/operations.md, Dead letters)" if dead else ""
    yield Finding("dead letters", f"{dead}", fix)
    failed = _depth(deployment, deployment.failed_invocations_url)
    yield Finding("failed invocations", f"{failed}", "see docs/operations.md, Failed invocations" if failed else "")


def _depth(deployment: Deployment, url: str) -> int:
    names = ["ApproximateNumberOfMessages"]
    response = deployment.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return int(response["Attributes"]["ApproximateNumberOfMessages"])


def _master_secret(deployment: Deployment) -> Iterator[Finding]:
    if not deployment.is_local:
        try:
            deployment.master_secret()
        except OperationFailed as error:
            state, _, fix = str(error).partition(": ")
            yield Finding("master secret", state, fix)
        else:
            yield Finding("master secret", "stored, and not the public one")


def _functions(deployment: Deployment) -> Iterator[Finding]:
    for name in deployment.functions:
        configuration = deployment.client("lambda").get_function_configuration(FunctionName=name)
        state, update = configuration.get("State", "?"), configuration.get("LastUpdateStatus", "?")
        is_ok = state in ("Active", "Inactive") and update == "Successful"
        yield Finding(f"function {name}", f"{state}, last update {update}", "" if is_ok else "deploy again")


def _programs(deployment: Deployment, now: float) -> Iterator[Finding]:
    store = deployment.store()
    programs = store.list_programs()
    yield Finding("programs", f"{len(programs)}")
    for program_id in store.program_ids():
        if store.unfinished_removal(program_id) is not None:
            yield Finding(f"program {program_id}", "its deletion was not finished", "call DeleteDatasetGroup again")
    for program in programs:
        yield from _program(deployment, program, now)


def _program(deployment: Deployment, program: Program, now: float) -> Iterator[Finding]:
    store, name = deployment.store(), f"program {program.program_id}"
    status = store.status(program.incarnation)
    if status is not None and status.status_id == FAILED:
        yield Finding(name, f"the last rebase failed: {status.message}", "remove the cause, then PUT /program/rebase")
    state = store.program_state(program.program_id)
    if state is None or state.model is None:
        yield Finding(name, "no model yet", "post events, then PUT /program/rebase")
        return
    try:
        model = Model.from_bytes(deployment.artifacts().get(state.model.key))
    except ArtifactError as error:
        yield Finding(name, f"its model cannot be read: {error.message}", "PUT /program/rebase makes a new one")
        return
    age_days = (now - model.trained_at) / DAY_SECONDS
    fix = "look at the log of rebase, or PUT /program/rebase" if age_days > OLD_MODEL_DAYS else ""
    yield Finding(name, f"model {state.model.version}, {age_days:.1f} days old, {len(model.actions):,} actions", fix)
    drifted = describe(model.report.get("drift", {}))
    if drifted:
        fix = "a season, a campaign or a faulty import: see docs/operations.md, Drift; the next rebase learns from it"
        yield Finding(name, drifted, fix)
