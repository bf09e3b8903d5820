"""Commands of the local stack: ``start``, ``start-docker``, ``stop``, ``reset``, ``logs``, ``key``, ``variables``."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cli.commands.options import ROOT, add_command, add_state

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands

_STOP_SECONDS = 20.0
_FIRST_FREE_PORT, _LAST_PORT = 1024, 65535
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BUILT_TEMPLATE = ROOT / ".aws-sam" / "build" / "template.yaml"


def add_commands(commands: Commands) -> None:
    """Add the commands of this file."""
    start = add_command(commands, "start", "start the local stack and keep it running until Ctrl-C")
    _add_port(start)
    add_state(start)
    start.add_argument("--template", type=Path, default=ROOT / "template.yaml", help="(default: template.yaml)")
    start.add_argument("--no-demo", dest="demo", action="store_false", help="do not load the demo program")
    start.set_defaults(
        run=lambda options: _start(options.template, options.state.resolve(), options.port, demo=options.demo)
    )
    docker = add_command(commands, "start-docker", "build, then run `sam local start-api` unchanged; needs Docker")
    _add_port(docker)
    add_state(docker)
    docker.add_argument("options", nargs="*", help="for SAM CLI, after --, for example -- --skip-pull-image")
    docker.set_defaults(run=lambda options: _start_docker(options.state.resolve(), options.port, options.options))
    stop = add_command(commands, "stop", "stop a local stack that runs in the background")
    add_state(stop)
    stop.set_defaults(run=lambda options: _stop(options.state))
    reset = add_command(commands, "reset", "delete everything that the local stack has stored")
    add_state(reset)
    reset.set_defaults(run=lambda options: _reset(options.state))
    logs = add_command(commands, "logs", "follow the log of a function")
    logs.add_argument("function", nargs="?", default="", help="its name; without one, the names are listed")
    add_state(logs)
    logs.set_defaults(run=lambda options: _logs(options.state, options.function))
    key = add_command(commands, "key", "print the key of the local stack")
    key.set_defaults(run=lambda _options: _key())
    variables = add_command(
        commands, "variables", "print what AWS clients need to reach the engines of the local stack"
    )
    add_state(variables)
    variables.set_defaults(run=lambda options: _variables(options.state))


def _add_port(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", type=_port, default=3000, help="0 takes a free one (default: %(default)s)")


def _start(template: Path, state: Path, port: int, *, demo: bool) -> int:
    for number in _STOP_SIGNALS:
        # Raising in the main thread runs the clean-up of every context manager on the way out.
        signal.signal(number, _interrupt)
    if (pid := _running(state)) is not None:
        print(f"A stack (process {pid}) already uses {state}: run `make stop` first, or start another one", end=" ")
        print(f"beside it with `make start STATE=.state2 PORT={port + 1}`.")
        return 1
    if (problem := _port_problem(port)) is not None:
        print(f"Port {port} {problem}, or run `make start PORT={port + 1 if port >= _FIRST_FREE_PORT else 3000}`.")
        return 1
    from tools.local.private_network import Listeners, enter_private_network
    from tools.local.state import NotAStateFolder, make_private

    try:
        make_private(state)
    except NotAStateFolder as error:
        print(error, file=sys.stderr)
        return 1
    began = time.monotonic()

    def report(message: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {message}", flush=True)

    listeners = Listeners.open(port)
    if not enter_private_network():
        report("no network of its own on this system: the engines listen on an address that is hard to guess")
    _log_to(state / "logs" / "gateway.log")
    # Imported here because SAM CLI alone takes a second, and a port in use should be reported at once.
    from tools.local.engines import REGION

    _prepare_sam(REGION)
    from tools.local.demo import PROGRAM_ID, USER_ID, DemoClient, DemoFailed, load_demo
    from tools.local.processes import ProcessDied
    from tools.local.stack import Stack

    try:
        with Stack(template, state=state, listeners=listeners, report=report) as stack:
            if demo and load_demo(DemoClient(stack.inner_url, stack.key), stack.store, state=state):
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


def _start_docker(state: Path, port: int, options: Sequence[str]) -> int:
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    from tools.local.engines import REGION

    _prepare_sam(REGION)
    from tools.local.docker import DockerMissing, build, check_machine, start_api
    from tools.local.state import NotAStateFolder, make_private

    try:
        make_private(state)
        check_machine()
        if (status := build()) != 0:
            return status
        return start_api(_BUILT_TEMPLATE, state=state / "docker", port=port, options=options)
    except (DockerMissing, NotAStateFolder) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _prepare_sam(region: str) -> None:
    """Set what SAM CLI's code reads from the environment: no telemetry, and a region."""
    os.environ |= {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": region}


def _interrupt(*_: object) -> None:
    # A second signal must not interrupt the clean-up that the first one started.
    for number in _STOP_SIGNALS:
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
            print(f"The stack (process {pid}) did not stop within {_STOP_SECONDS:.0f} s.", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("Stopped.")
    return 0


def _reset(state: Path) -> int:
    if (pid := _running(state)) is not None:
        print(f"A stack (process {pid}) uses {state}: run `make stop` first.", file=sys.stderr)
        return 1
    shutil.rmtree(state, ignore_errors=True)
    print(f"{state.name} is deleted; the next start loads the demo program again.")
    return 0


def _logs(state: Path, function: str) -> int:
    names = sorted(path.stem for path in (state / "logs").glob("*.log"))
    if function not in names:
        print(f"Name a log: make logs FUNCTION=name, one of {', '.join(names) or '(none yet)'}.", file=sys.stderr)
        return 1
    return subprocess.run(["tail", "-n", "50", "-F", str(state / "logs" / f"{function}.log")], check=False).returncode


def _key() -> int:
    from tools.local.key import operator_key

    print(operator_key()[1])
    return 0


def _variables(state: Path) -> int:
    description = state / "stack.json"
    if not description.exists():
        print("No stack is running.", file=sys.stderr)
        return 1
    for name, value in json.loads(description.read_text())["variables"].items():
        if name.startswith("AWS_"):
            print(f"export {name}={shlex.quote(value)}")
    return 0


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
        raise argparse.ArgumentTypeError(f"{text!r} is no port; 1 to {_LAST_PORT} are, and 0 takes a free one")
    return int(text)


def _port_problem(port: int) -> str | None:
    """Why the stack cannot listen on a port, and what to do about it; None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return "needs root: run as root"
        except OSError:
            return "is taken by another program: free it"
    return None


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s"
    )
    # At the level INFO these log every call.
    for name in ("samcli", "botocore", "boto3", "urllib3", "werkzeug"):
        logging.getLogger(name).setLevel(logging.WARNING)
