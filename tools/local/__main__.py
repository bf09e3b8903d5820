"""The local stack's commands.

python -m tools.local start [--port 3000] [--state .state] [--no-demo]
python -m tools.local stop | reset [--state .state]
python -m tools.local logs FUNCTION [--state .state]
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.local.engines import REGION
from tools.local.key import operator_key

ROOT = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 20.0
_FIRST_FREE_PORT, _LAST_PORT = 1024, 65535


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.local", description="The local stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="start the stack and keep it running until Ctrl-C")
    start.add_argument("--port", type=_port, default=3000)
    start.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    start.add_argument("--no-demo", dest="demo", action="store_false", help="leave the demo program out")
    docker = commands.add_parser("start-docker", help="the plain `sam local start-api`, with engines behind it")
    docker.add_argument("--port", type=_port, default=3000)
    docker.add_argument("--template", type=Path, default=ROOT / ".aws-sam" / "build" / "template.yaml")
    docker.add_argument("options", nargs="*", help="for SAM CLI, after --, e.g. -- --skip-pull-image")
    commands.add_parser("check-docker", help="say whether start-docker can work here")
    stop = commands.add_parser("stop", help="stop a running stack")
    reset = commands.add_parser("reset", help="forget everything the stack has stored")
    logs = commands.add_parser("logs", help="follow the log of a function")
    logs.add_argument("function", nargs="?", default="")
    commands.add_parser("key", help="print the key of every local stack")
    for command in (start, docker, stop, reset, logs):
        command.add_argument("--state", type=Path, default=ROOT / ".state")
    options = parser.parse_args(arguments)
    if options.command == "start":
        return _start(options.template, options.state.resolve(), options.port, demo=options.demo)
    if options.command == "start-docker":
        return _start_docker(options.template, options.state.resolve(), options.port, options.options)
    if options.command == "check-docker":
        return _check_docker()
    if options.command == "stop":
        return _stop(options.state)
    if options.command == "reset":
        return _reset(options.state)
    if options.command == "logs":
        return _logs(options.state, options.function)
    print(operator_key()[1])
    return 0


def _start(template: Path, state: Path, port: int, *, demo: bool) -> int:
    # Raising in the main thread lets every context manager on the way out do its work.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if (pid := _running(state)) is not None:
        print(f"A stack (process {pid}) already uses {state}: run `make stop` first, or start another one", end=" ")
        print(f"beside it with `make start STATE=.state2 PORT={port + 1}`.")
        return 1
    if (trouble := _port_trouble(port)) is not None:
        print(f"Port {port} {trouble}, or run `make start PORT={port + 1 if port >= _FIRST_FREE_PORT else 3000}`.")
        return 1
    began = time.monotonic()

    def report(message: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {message}", flush=True)

    state.mkdir(parents=True, exist_ok=True)
    _log_to(state / "logs" / "gateway.log")
    # SAM CLI's code counts its uses and would send them home, and wants a region.
    os.environ |= {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": REGION}
    # Imported late: SAM CLI alone takes a second, and a taken port should be said at once.
    from tools.local.demo import PROGRAM_ID, USER_ID, DemoClient, DemoFailed, load_demo
    from tools.local.processes import ProcessDied
    from tools.local.stack import Stack

    try:
        with Stack(template, state=state, port=port, report=report) as stack:
            if demo and load_demo(DemoClient(stack.url, stack.key), stack.store, state=state):
                report(f"program {PROGRAM_ID} is loaded and rebased")
            stack.announce()
            report("ready; Ctrl-C stops everything")
            print(
                f"\n  URL   {stack.url}\n  key   {stack.key}\n  logs  make logs FUNCTION=actions\n\n"
                f"  curl -H 'actionhub-key: {stack.key}' -H 'program-id: {PROGRAM_ID}' "
                f"'{stack.url}/users/{USER_ID}/actions?limit=3'\n",
                flush=True,
            )
            stack.watch()
    except KeyboardInterrupt:
        report("stopped")
        return 0
    except (ProcessDied, DemoFailed, TimeoutError, ValueError) as error:
        print(f"Stopped: {error}\nMore in {state / 'logs'}.", file=sys.stderr)
        return 1


def _start_docker(template: Path, state: Path, port: int, options: Sequence[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    os.environ |= {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": REGION}
    from tools.local.docker import DockerMissing, start_api

    try:
        return start_api(template, state=state / "docker", port=port, options=options)
    except DockerMissing as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _check_docker() -> int:
    from tools.local.docker import DockerMissing, check_machine

    try:
        check_machine()
    except DockerMissing as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _interrupt(*_: object) -> None:
    # A second signal must not break the orderly stop that the first one began.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stop(state: Path) -> int:
    pid = _running(state)
    if pid is None:
        print("No stack is running.")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _running(state) is not None:
        if time.monotonic() > deadline:
            print(f"The stack (process {pid}) does not stop.", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("Stopped.")
    return 0


def _reset(state: Path) -> int:
    if (pid := _running(state)) is not None:
        print(f"A stack (process {pid}) uses {state}: run `make stop` first.", file=sys.stderr)
        return 1
    shutil.rmtree(state, ignore_errors=True)
    print(f"{state.name} is empty; the next start loads the demo program anew.")
    return 0


def _logs(state: Path, function: str) -> int:
    names = sorted(path.stem for path in (state / "logs").glob("*.log"))
    if function not in names:
        print(f"Say whose: make logs FUNCTION=name, with one of {', '.join(names) or '(none yet)'}.", file=sys.stderr)
        return 1
    return subprocess.run(["tail", "-n", "50", "-F", str(state / "logs" / f"{function}.log")], check=False).returncode


def _running(state: Path) -> int | None:
    """The process that holds the lock of a state folder."""
    path = state / "lock"
    if not path.exists():
        return None
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read() or 0)
    return None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; 1 to {_LAST_PORT} are, and 0 asks for a free one")
    return int(text)


def _port_trouble(port: int) -> str | None:
    """Why a port cannot be listened on, and what to do about it; None where it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return "needs the rights of root: take them"
        except OSError:
            return "is taken by another program: free it"
    return None


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s"
    )
    # SAM CLI and the AWS client tell more than anyone asked.
    for name in ("samcli", "botocore", "boto3", "urllib3", "werkzeug"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
