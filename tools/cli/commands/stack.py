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
    from nextbest.store.base import Store
    from tools.cli.commands.options import Commands
    from tools.local.stack import Report

_STOP_SECONDS = 20.0
_FIRST_FREE_PORT, _LAST_PORT = 1024, 65535
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_commands(commands: Commands) -> None:
    """Add the commands of this file."""
    start = add_command(commands, "start", "start the local stack and keep it running until Ctrl-C")
    _add_port(start)
    add_state(start)
    start.add_argument("--template", type=Path, default=ROOT / "template.yaml", help="(default: template.yaml)")
    start.add_argument("--no-demo", dest="demo", action="store_false", help="do not load the demo program")
    start.add_argument(
        "--spark-above-events",
        type=_event_count,
        default=0,
        metavar="N",
        help="have a Spark job learn programs of more events, as on EMR Serverless; needs ./nextbest install spark "
        "(default: none does)",
    )
    start.set_defaults(
        run=lambda options: _start(
            options.template,
            options.state.resolve(),
            options.port,
            demo=options.demo,
            spark_above_events=options.spark_above_events,
        )
    )
    docker = add_command(
        commands, "start-docker", "the same on `sam local start-api` and its Docker containers; needs Docker"
    )
    _add_port(docker)
    add_state(docker)
    docker.add_argument("--no-demo", dest="demo", action="store_false", help="do not load the demo program")
    docker.add_argument("options", nargs="*", help="for SAM CLI, after --, for example -- --skip-pull-image")
    docker.set_defaults(
        run=lambda options: _start_docker(options.state.resolve(), options.port, options.options, demo=options.demo)
    )
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


def _start(template: Path, state: Path, port: int, *, demo: bool, spark_above_events: int) -> int:
    _catch_stop_signals()
    if (status := _check_free(state, port, "make start")) != 0:
        return status
    from tools.local.private_network import Listeners, enter_private_network

    report = _reporter()
    listeners = Listeners.open(port)
    if not enter_private_network():
        report("no network of its own on this system: the engines listen on an address that is hard to guess")
    _log_to(state / "logs" / "gateway.log")
    # Imported here because SAM CLI alone takes a second, and a port in use should be reported at once.
    from tools.local.engines import REGION

    _prepare_sam(REGION)
    from tools.local.demo import DemoFailed
    from tools.local.processes import ProcessDied
    from tools.local.stack import Stack

    try:
        with Stack(
            template, state=state, listeners=listeners, report=report, spark_above_events=spark_above_events
        ) as stack:
            if demo:
                _load_demo(stack.inner_url, stack.key, stack.store, state, report)
            stack.announce()
            report("ready; Ctrl-C stops everything")
            _print_first_request(stack.url, stack.key, log="actions")
            stack.watch()
    except KeyboardInterrupt:
        report("stopped")
        return 0
    except (ProcessDied, DemoFailed, TimeoutError, ValueError) as error:
        print(f"Stopped: {error}\nMore in {state / 'logs'}.", file=sys.stderr)
        return 1


def _start_docker(state: Path, port: int, options: Sequence[str], *, demo: bool) -> int:
    _catch_stop_signals()
    from tools.local.build import BuildFailed, ensure_built
    from tools.local.docker import DockerMissing, check_machine

    try:
        check_machine("make start-docker")
    except DockerMissing as error:
        print(error, file=sys.stderr)
        return 1
    if (status := _check_free(state, port, "make start-docker")) != 0:
        return status
    report = _reporter()
    _log_to(state / "logs" / "gateway.log")
    from tools.local.engines import REGION

    _prepare_sam(REGION)
    from tools.local.demo import DemoFailed
    from tools.local.docker_stack import DIFFERENCES, DockerStack
    from tools.local.processes import ProcessDied

    try:
        report("sam build is done" if ensure_built() else "nothing has changed since the last build")
        with DockerStack(ROOT / "template.yaml", state=state, port=port, options=options, report=report) as stack:
            if demo:
                _load_demo(stack.url, stack.key, stack.store, state, report)
            stack.announce()
            report("ready; Ctrl-C stops everything, which takes a few seconds")
            _print_first_request(stack.url, stack.key, log="start-api")
            print(f"{DIFFERENCES}\n", flush=True)
            stack.watch()
    except KeyboardInterrupt:
        report("stopped")
        return 0
    except (BuildFailed, DockerMissing, ProcessDied, DemoFailed, TimeoutError, ValueError) as error:
        print(f"Stopped: {error}\nMore in {state / 'logs'}.", file=sys.stderr)
        return 1


def _load_demo(url: str, key: str, store: Store, state: Path, report: Report) -> None:
    from tools.local.demo import PROGRAM_ID, DemoClient, load_demo

    if load_demo(DemoClient(url, key), store, state=state):
        report(f"program {PROGRAM_ID} is loaded and rebased")


def _print_first_request(url: str, key: str, *, log: str) -> None:
    from tools.local.demo import PROGRAM_ID, USER_ID
    from tools.local.key import console_link

    print(
        f"\n  URL   {url}\n  key   {key}\n  logs  make logs FUNCTION={log}\n\n"
        f"In a browser, the demo's console, signed in:\n\n  {console_link(url, PROGRAM_ID, now=time.time())}\n\n"
        f"By the API:\n\n  curl -H 'actionhub-key: {key}' -H 'program-id: {PROGRAM_ID}' "
        f"'{url}/users/{USER_ID}/actions?limit=3'\n",
        flush=True,
    )


def _check_free(state: Path, port: int, command: str) -> int:
    """The exit status, after a message, if a stack cannot start on this state folder and port; 0 if it can."""
    if (pid := _running(state)) is not None:
        print(f"A stack (process {pid}) already uses {state}: run `make stop` first, or start another one", end=" ")
        print(f"beside it with `{command} STATE=.state2 PORT={port + 1}`.")
        return 1
    if (problem := _port_problem(port)) is not None:
        print(f"Port {port} {problem}, or run `{command} PORT={port + 1 if port >= _FIRST_FREE_PORT else 3000}`.")
        return 1
    from tools.local.state import NotAStateFolder, make_private

    try:
        make_private(state)
    except NotAStateFolder as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _reporter() -> Report:
    """Prints messages with the seconds since now."""
    began = time.monotonic()

    def report(message: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {message}", flush=True)

    return report


def _catch_stop_signals() -> None:
    for number in _STOP_SIGNALS:
        # Raising in the main thread runs the clean-up of every context manager on the way out.
        signal.signal(number, _interrupt)


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
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give 1 to {_LAST_PORT}, or 0 for a free one")
    return int(text)


def _event_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of events; give 1 or more")
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
