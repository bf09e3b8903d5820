"""What the stack needs to know of Docker: whether it runs, where containers find this machine, and which are ours."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess

from tools.local.build import BUILD_PYTHON

# How containers call this machine, for those who pass --add-host; the bridge's address works without.
HOST_NAME = "host.docker.internal"


class DockerMissing(Exception):
    """Docker, or the Python to build with, is not installed."""


def check_machine(command: str) -> None:
    """Raise DockerMissing, with a shorter message than theirs, if ``sam build`` and ``sam local`` cannot work.

    ``command`` is what the user ran.
    """
    bridge_address(command)
    try:
        subprocess.run([BUILD_PYTHON, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise DockerMissing(f"`{command}` needs {BUILD_PYTHON} on the PATH, for `sam build`.") from None


def bridge_address(command: str) -> str:
    """This machine's address on Docker's default bridge. Raises DockerMissing."""
    inspect = ["docker", "network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}"]
    if shutil.which(inspect[0]) is None:
        raise DockerMissing(f"`{command}` needs Docker, which is not installed; `make start` does not.")
    result = subprocess.run(inspect, capture_output=True, text=True, check=False)
    if result.returncode:
        raise DockerMissing(f"`{command}` needs Docker: {result.stderr.strip()}; `make start` does not.")
    settings = json.loads(result.stdout)
    # Older versions do not name the gateway; it is the first address.
    return str(settings.get("Gateway") or ipaddress.ip_network(settings["Subnet"])[1])


def remove_containers(token: str) -> int:
    """Remove the containers of functions that have this session token, and no others; how many there were."""
    listed = _docker("ps", "--all", "--quiet", "--filter", "label=sam.cli.container.type=lambda").split()
    ours = [
        container
        for container in listed
        if f"AWS_SESSION_TOKEN={token}" in _docker("inspect", "--format", "{{json .Config.Env}}", container)
    ]
    if ours:
        _docker("rm", "--force", *ours)
    return len(ours)


def _docker(*arguments: str) -> str:
    # A container may be gone by the time it is inspected: no output then, which is right.
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False).stdout
