"""Starting, stopping and killing the local stack: what stays, and that nothing is left running."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.contract.stacks import (
    ECHO_TEMPLATE,
    ROOT,
    RunningStack,
    environment,
    output_of,
    processes_of,
    refused,
    start_stack,
)
from tests.waiting import wait_until
from tools.cli.__main__ import main

pytestmark = pytest.mark.stack


def fill(stack: RunningStack) -> None:
    """Store a row and an object, and start a function."""
    stack.dynamodb.put_item(TableName=stack.tables[0], Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
    stack.s3.put_object(Bucket=stack.buckets[0], Key="model/1", Body=b"artifact")
    assert httpx.get(f"{stack.url}/items/1").status_code == 200


def holds(stack: RunningStack) -> bool:
    """Whether what ``fill`` stored is there."""
    row = stack.dynamodb.get_item(TableName=stack.tables[0], Key={"pk": {"S": "a"}, "sk": {"S": "b"}})
    found = stack.s3.get_object(Bucket=stack.buckets[0], Key="model/1")["Body"].read()
    return "Item" in row and found == b"artifact"


def test_data_are_there_after_a_stop_and_nothing_ran_between(tmp_path: Path) -> None:
    state = tmp_path / "state"
    stack = start_stack(state, template=ECHO_TEMPLATE)
    fill(stack)
    stack.sqs.send_message(QueueUrl=stack.queues["DeadLetters"], MessageBody="kept")

    assert stack.stop() == 0
    assert processes_of(state) == {}
    again = start_stack(state, template=ECHO_TEMPLATE)

    assert holds(again)
    (message,) = again.sqs.receive_message(QueueUrl=again.queues["DeadLetters"])["Messages"]
    assert message["Body"] == "kept"
    again.stop()


def test_data_are_there_after_a_kill_and_nothing_ran_between(tmp_path: Path) -> None:
    state = tmp_path / "state"
    stack = start_stack(state, template=ECHO_TEMPLATE)
    fill(stack)

    stack.kill()
    assert processes_of(state) == {}
    again = start_stack(state, template=ECHO_TEMPLATE)

    assert holds(again)
    again.stop()


def test_the_stack_says_so_and_ends_when_an_engine_dies(tmp_path: Path) -> None:
    state = tmp_path / "state"
    stack = start_stack(state, template=ECHO_TEMPLATE)
    (engine,) = (pid for pid, command in processes_of(state).items() if "ministack.app" in command)

    os.kill(engine, signal.SIGKILL)

    assert stack.wait() == 1
    assert "ministack ended with status -9" in output_of(state)
    assert processes_of(state) == {}


def test_starting_on_a_taken_port_says_so_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(tmp_path / "state", port=port)

    assert said.startswith(f"Port {port} is taken by another program")


def test_following_the_log_of_a_function_shows_the_lines_of_a_call(echo_stack: RunningStack, tmp_path: Path) -> None:
    followed = tmp_path / "followed"
    command = [sys.executable, "-m", "tools.cli", "logs", "echo", "--state", str(echo_stack.state)]
    with (
        followed.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=output, start_new_session=True) as following,
    ):
        try:
            httpx.get(f"{echo_stack.url}/items/1")
            wait_until(lambda: "RequestId" in followed.read_text(), seconds=20)
        finally:
            os.killpg(following.pid, signal.SIGTERM)


@pytest.mark.parametrize("port", ["abc", "65536", "-1"])
def test_starting_on_no_port_says_what_is_one(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["start", f"--port={port}"])
    assert ended.value.code == 2
    assert f"'{port}' is not a port; give 1 to 65535" in capsys.readouterr().err


def test_a_second_stack_on_the_same_state_is_refused(echo_stack: RunningStack) -> None:
    said = refused(echo_stack.state)

    assert said.startswith(f"A stack (process {echo_stack.process.pid}) already uses")
    assert httpx.get(f"{echo_stack.url}/items/1").status_code == 200


def test_edited_code_answers_the_next_call(tmp_path: Path) -> None:
    application = tmp_path / "application"
    shutil.copytree(ECHO_TEMPLATE.parent, application)
    stack = start_stack(tmp_path / "state", template=application / "template.yaml")
    assert stack.log("echo") == ""  # there before the first call, so that it can be followed
    assert httpx.get(f"{stack.url}/items/1").status_code == 200

    code = application / "functions" / "echo" / "app.py"
    code.write_text(code.read_text().replace('"statusCode": 200', '"statusCode": 418'))

    wait_until(lambda: httpx.get(f"{stack.url}/items/1").status_code == 418, seconds=20)
    stack.stop()
