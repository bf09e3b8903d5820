"""The demo experiment replaces what it made itself, on a local stack, and nothing else."""

from __future__ import annotations

import boto3
import pytest

from nextbest.domain.programs import Program
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tools.cli.deployment import Deployment, OperationFailed
from tools.local.demo_experiment import PROGRAM_ID, play_demo_experiment

NOW = 1_790_000_000.0


def deployment(**endpoints: str) -> Deployment:
    return Deployment(
        **{"url": "http://127.0.0.1:1", "table_name": "", "bucket": "", "queue_url": "", "dead_letters_url": ""},
        **{"failed_invocations_url": "", "master_secret_parameter": ""},
        stack=None,
        session=boto3.Session(),
        endpoints=endpoints,
    )


def no_step(message: str) -> None:
    raise AssertionError(message)


def test_it_is_not_played_on_a_deployed_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deployment, "store", lambda _: pytest.fail("the table was opened"))

    with pytest.raises(OperationFailed, match="on a local stack only"):
        play_demo_experiment(deployment(), now=NOW, report=no_step)


def test_a_program_that_somebody_else_made_is_left_alone(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create_program(Program(PROGRAM_ID, "My bookshop"))
    monkeypatch.setattr(Deployment, "store", lambda _: store)
    monkeypatch.setattr(Deployment, "artifacts", lambda _: MemoryArtifacts())

    with pytest.raises(OperationFailed, match="did not make"):
        play_demo_experiment(deployment(dynamodb="http://127.0.0.1:1"), now=NOW, report=lambda _: None)
    state = store.program_state(PROGRAM_ID)
    assert state is not None
    assert state.program.program_name == "My bookshop"
