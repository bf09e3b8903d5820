"""The stack as a whole: its last deployment, its API, and its master secret."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import urllib3

from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment, OperationFailed, Stack, first_failure

_TIMEOUT_SECONDS = 10.0
_GOOD = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"})
_FIXES = {
    "UPDATE_ROLLBACK_COMPLETE": "the version before is in use: remove the cause and deploy again",
    "UPDATE_ROLLBACK_FAILED": "remove the cause, then aws cloudformation continue-update-rollback --stack-name {name}",
    "IMPORT_COMPLETE": "only the table and the bucket are in the stack yet: deploy (docs/operations.md)",
}


def check_stack(deployment: Deployment, stack: Stack) -> Iterator[Finding]:
    """Whether the last deployment succeeded; if not, what failed first."""
    if stack.status in _GOOD:
        yield Finding("stack", f"{stack.name} is {stack.status}")
    elif stack.status.endswith("_IN_PROGRESS"):
        yield Finding("stack", f"{stack.name} is {stack.status}", "a deployment is under way: wait until it has ended")
    else:
        reason = first_failure(deployment.client("cloudformation"), stack.name)
        fix = _FIXES.get(stack.status, "look at the stack's events in CloudFormation").format(name=stack.name)
        yield Finding("stack", f"{stack.name} is {stack.status}{reason and f': {reason}'}", fix)


def check_api(deployment: Deployment) -> Iterator[Finding]:
    """Whether the API responds."""
    url = f"{deployment.url}/openapi.json"
    try:
        response = urllib3.request("GET", url, timeout=_TIMEOUT_SECONDS, retries=False)
    except urllib3.exceptions.HTTPError as error:
        fix = "make start" if deployment.is_local else "look at the stack's events in CloudFormation"
        yield Finding("API", f"{url} does not respond: {error}", fix)
        return
    is_ok = response.status == HTTPStatus.OK
    yield Finding("API", f"{url} responds with {response.status}", "" if is_ok else "look at the log of manage")


def check_master_secret(deployment: Deployment) -> Iterator[Finding]:
    """Whether there is a master secret, encrypted, and not the public one of local stacks."""
    try:
        deployment.master_secret()
    except OperationFailed as error:
        state, _, fix = str(error).partition(": ")
        yield Finding("master secret", state, fix)
    else:
        yield Finding("master secret", "stored encrypted, and not the public one")
