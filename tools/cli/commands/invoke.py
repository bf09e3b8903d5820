"""``invoke``: one function in Docker, on samples or events of your own."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cli.commands.options import ROOT, add_command, add_state

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this file."""
    command = add_command(
        commands,
        "invoke",
        "run samples of events/ through `sam local invoke`, on the data of the local stack that runs",
    )
    command.add_argument("paths", nargs="+", type=Path, help="an event, or a folder with events")
    command.add_argument("--function", help="the function's folder (default: the folder that the event lies in)")
    command.add_argument(
        "--sam-options", default="", help="for SAM CLI, for example --sam-options='--skip-pull-image --debug'"
    )
    add_state(command)
    command.set_defaults(run=_invoke)


def _invoke(options: argparse.Namespace) -> int:
    from tools.local.build import BuildFailed, ensure_built
    from tools.local.docker import DockerMissing, check_machine
    from tools.local.engines import REGION

    # The template is read by SAM CLI's code, and translated by code that warns of features that we do not use.
    os.environ |= {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": REGION}
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    from tools.cli.deployment import OperationFailed, local_deployment
    from tools.local.demo import DemoFailed
    from tools.local.invoke import invoker
    from tools.local.samples import drop_file, prepare, sign_again

    files = [file for path in options.paths for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]
    failed = 0
    try:
        check_machine("./nextbest invoke")
        stack = local_deployment(options.state)
        ensure_built()
        with invoker(ROOT / "template.yaml", state=options.state, endpoints=stack.endpoints, token=stack.token) as sam:
            for file in files:
                event = sign_again(json.loads(file.read_text()))
                prepare(stack.store(), stack.url)
                drop_file(stack.client("s3"))
                print(f"{file}:", file=sys.stderr, flush=True)
                result = sam.invoke(options.function or file.parent.name, event, shlex.split(options.sam_options))
                if result.returncode != 0:
                    failed += 1
                    continue
                response = json.loads(result.stdout or "null")
                print(json.dumps(response), flush=True)  # on one line, whatever it holds
                failed += isinstance(response, dict) and "errorType" in response
    except (BuildFailed, DockerMissing, DemoFailed, OperationFailed, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"{error.args[0]}; name one with --function", file=sys.stderr)
        return 2
    return 1 if failed else 0
