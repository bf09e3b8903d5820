"""The queues: who may send to them, and where failures go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment
from tools.cli.doctor.policies import allows_service, refuses_plain_http


def check_queue_policies(deployment: Deployment) -> Iterator[Finding]:
    """Whether the queues refuse plain HTTP, messages that fail are kept, and EventBridge may report what it lost."""
    attributes = {
        "queue": _attributes(deployment, deployment.queue_url),
        "dead letters": _attributes(deployment, deployment.dead_letters_url),
        "failed invocations": _attributes(deployment, deployment.failed_invocations_url),
    }
    policies = {name: json.loads(values.get("Policy") or "{}") for name, values in attributes.items()}
    for name, policy in policies.items():
        encrypted = refuses_plain_http(policy, "sqs:*")
        fix = "" if encrypted else "deploy again: its policy lets requests through that are not encrypted"
        yield Finding(name, f"reached over TLS only: {encrypted}", fix)
    redrive = json.loads(attributes["queue"].get("RedrivePolicy") or "{}")
    kept = redrive.get("deadLetterTargetArn") == attributes["dead letters"]["QueueArn"]
    fix = "" if kept else "deploy again: messages that keep failing are lost when they are 14 days old"
    yield Finding("queue", f"what keeps failing goes to the dead letters: {kept}", fix)
    reports = allows_service(policies["failed invocations"], "events.amazonaws.com", "sqs:SendMessage")
    fix = "" if reports else "deploy again: events of the bus that cannot be delivered are lost"
    yield Finding("failed invocations", f"EventBridge may send: {reports}", fix)


def _attributes(deployment: Deployment, url: str) -> Mapping[str, str]:
    response = deployment.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    attributes: Mapping[str, str] = response.get("Attributes", {})
    return attributes
