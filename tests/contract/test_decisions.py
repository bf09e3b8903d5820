"""Answers of the local stack become files of decisions in its bucket, as on AWS."""

from __future__ import annotations

import gzip
import time

import pytest

from nextbest.domain.decisions import Decision
from tests.contract.conftest import Program
from tests.contract.personalize_clients import Personalize, arn
from tests.contract.stacks import RunningStack
from tests.waiting import wait_until

pytestmark = pytest.mark.stack


def recorded(stack: RunningStack, program: Program) -> dict[str, Decision]:
    """The decisions in the program's files, by their recommendation ids."""
    (bucket,) = stack.buckets
    listed = stack.s3.list_objects_v2(Bucket=bucket, Prefix=f"decisions/{program.program_id}@").get("Contents", [])
    files = [stack.s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in listed]
    decisions = [Decision.from_json(line) for file in files for line in gzip.decompress(file).splitlines()]
    assert len({decision.recommendation_id for decision in decisions}) == len(decisions)
    return {decision.recommendation_id: decision for decision in decisions}


def test_an_answer_of_each_dialect_is_found_in_a_file(
    stack: RunningStack, program: Program, clients: Personalize
) -> None:
    clients.take(program.program_id, "ada", "club", at=int(time.time()) - 3600)

    answer = program.http.get("/users/ada/actions")
    of_actionhub = answer.headers["x-nextbest-decision"]
    response = clients.runtime.get_action_recommendations(campaignArn=arn("campaign", program.program_id), userId="ada")
    of_personalize = response["recommendationId"]
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-nextbest-decision"] == of_personalize

    wait_until(lambda: {of_actionhub, of_personalize} <= recorded(stack, program).keys(), seconds=60)
    decisions = recorded(stack, program)
    assert decisions[of_actionhub].actions[0][:2] == ("TAKEN", "club")
    assert decisions[of_actionhub].user == decisions[of_personalize].user
    assert {decision.dialect for decision in decisions.values()} == {"actionhub", "personalize"}
