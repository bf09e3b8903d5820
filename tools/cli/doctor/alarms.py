"""The alarms: which of them are on, and whether anybody hears of them."""

from __future__ import annotations

from collections.abc import Iterator

from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment, Stack


def check_alarms(deployment: Deployment, stack: Stack) -> Iterator[Finding]:
    """Whether all alarms exist, act, and are quiet, and whether their mails arrive."""
    client = deployment.client("cloudwatch")
    names = stack.physical_ids("AWS::CloudWatch::Alarm")
    pages = client.get_paginator("describe_alarms").paginate(AlarmNames=list(names), AlarmTypes=["MetricAlarm"])
    alarms = {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}
    quiet = 0
    for name in names:
        alarm = alarms.get(name)
        if alarm is None:
            yield Finding("alarms", f"there is no alarm {name}", "deploy again")
        elif alarm["StateValue"] == "ALARM":
            # The description names the section of docs/operations.md.
            yield Finding("alarms", f"{name} is on", f"{alarm['AlarmDescription']}")
        elif not alarm["ActionsEnabled"]:
            yield Finding("alarms", f"{name} tells nobody", f"aws cloudwatch enable-alarm-actions --alarm-names {name}")
        else:
            quiet += 1
    yield Finding("alarms", f"{quiet} of {len(names)} are quiet")
    yield from _mails(deployment, stack)


def _mails(deployment: Deployment, stack: Stack) -> Iterator[Finding]:
    topics = stack.physical_ids("AWS::SNS::Topic")
    if not topics:
        yield Finding("alarms", "nobody is mailed (AlarmEmail): they show in CloudWatch alone")
    for topic in topics:
        subscriptions = deployment.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        for subscription in subscriptions:
            # Until then the ARN is this text.
            pending = subscription["SubscriptionArn"] == "PendingConfirmation"
            fix = "confirm the mail that AWS sent there, or deploy again to get another one" if pending else ""
            yield Finding("alarms", f"are mailed to {subscription['Endpoint']}", fix)
        if not subscriptions:
            yield Finding("alarms", f"nobody is subscribed to {topic}", "deploy again, with AlarmEmail=you@example.com")
