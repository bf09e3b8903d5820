"""``sam local invoke`` on the engines of a local stack that runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.local.build import LOCAL_TEMPLATE, sam
from tools.local.docker import bridge_address
from tools.local.docker_stack import container_variables, open_to_containers, sam_environment
from tools.local.engines import ACCOUNT_ID
from tools.local.gateway import Server
from tools.local.key import PARAMETERS
from tools.local.private_network import listen
from tools.local.state import write_private
from tools.local.template import Application, read_application


class Invoker:
    """Runs functions of the template in Docker. ``url`` is where the containers find AWS."""

    def __init__(self, application: Application, *, variables_file: Path, url: str, token: str) -> None:
        self._application = application
        self._variables_file = variables_file
        self._environment = {**os.environ, **sam_environment(token, url)}

    def invoke(self, function: str, event: object, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run ``sam local invoke`` for the function of this folder or logical id; ``stdout`` is its response.

        ``options`` go to SAM CLI as they are. Raises KeyError if there is no such function.
        """
        command = [
            *(sam(), "local", "invoke", self._application.function(function).logical_id),
            *("--template", str(LOCAL_TEMPLATE), "--event", "-", "--env-vars", str(self._variables_file), *options),
        ]
        return subprocess.run(
            command, env=self._environment, input=json.dumps(event), stdout=subprocess.PIPE, text=True, check=False
        )


@contextmanager
def invoker(template: Path, *, state: Path, endpoints: Mapping[str, str], token: str) -> Iterator[Invoker]:
    """Open the engines at ``endpoints`` to containers that have the token, as long as the context lasts.

    Raises DockerMissing.
    """
    bridge = bridge_address("./nextbest invoke")
    door = Server(listen(bridge, 0))
    (url,) = door.urls
    door.run(open_to_containers(dict(endpoints), token, bridge))
    try:
        application = read_application(
            template, parameters=PARAMETERS, queue_url=lambda name: f"{url}/{ACCOUNT_ID}/{name}"
        )
        variables_file = state / "invoke.json"
        write_private(variables_file, json.dumps(container_variables(application, url), indent=2))
        yield Invoker(application, variables_file=variables_file, url=url, token=token)
    finally:
        door.close()
