"""Reading a SAM template for the local stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.local.template import Application, read_application

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
  Secret: {Type: String, NoEcho: true}
Resources:
  Layer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/library/}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/worker/
      Runtime: python3.13
      Handler: app.handler
      Timeout: 7
      AutoPublishAlias: live
      Layers: [!Ref Layer]
      Environment:
        Variables:
          TABLE_NAME: !Ref Table
          QUEUE_URL: !Ref Queue
          SAME_QUEUE: !GetAtt Queue.QueueUrl
          BUCKET: !Ref Files
          STAGE: !Ref Stage
          SECRET: !Ref Secret
          NAME: !Sub "${Stage}-${Table}"
      Events:
        Messages: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn, BatchSize: 4}}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
  Files: {Type: AWS::S3::Bucket}
  Dead: {Type: AWS::SQS::Queue}
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
"""


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield


def read(folder: Path, **parameters: str) -> Application:
    path = folder / "template.yaml"
    path.write_text(TEMPLATE)
    return read_application(path, parameters=parameters, queue_url=lambda name: f"http://queues/{name}")


def test_variables_hold_local_names(tmp_path: Path) -> None:
    (worker,) = read(tmp_path, Secret="s", Unknown="ignored").functions

    assert worker.variables == {
        "TABLE_NAME": "Table",
        "QUEUE_URL": "http://queues/Queue",
        "SAME_QUEUE": "http://queues/Queue",
        "BUCKET": "files-local",
        "STAGE": "dev",
        "SECRET": "s",
        "NAME": "dev-Table",
    }


def test_code_and_layers_of_a_function_are_folders_of_the_work_tree(tmp_path: Path) -> None:
    (worker,) = read(tmp_path, Secret="s", Stage="test").functions

    assert (worker.name, worker.logical_id, worker.handler) == ("worker", "Worker", "app.handler")
    assert worker.code == tmp_path / "functions" / "worker"
    assert worker.layers == (tmp_path / "layers" / "library",)
    assert (worker.timeout_seconds, worker.memory_megabytes) == (7, 128)
    assert worker.variables["STAGE"] == "test"


def test_sources_and_redrive_of_queues_name_each_other(tmp_path: Path) -> None:
    application = read(tmp_path, Secret="s")

    (source,) = application.queue_sources
    assert (source.queue, source.batch_size) == ("Queue", 4)
    # With an alias, the mapping names the alias.
    assert source.function == "arn:aws:lambda:us-east-1:000000000000:function:Worker:live"
    assert application.function(source.function).logical_id == "Worker"
    assert not source.reports_item_failures
    assert application.queues["Queue"]["RedrivePolicy"]["deadLetterTargetArn"].endswith(":Dead")


def test_a_function_is_looked_up_by_folder_id_and_arn(tmp_path: Path) -> None:
    application = read(tmp_path, Secret="s")

    for name in ("worker", "Worker", "Worker:live", "arn:aws:lambda:us-east-1:000000000000:function:Worker:live"):
        assert application.function(name).logical_id == "Worker"
    with pytest.raises(KeyError, match="there are worker"):
        application.function("nobody")


def test_a_parameter_without_a_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no value for the parameters Secret"):
        read(tmp_path)
