"""``sam build``, for one architecture, once for each state of the sources.

SAM CLI passes no parameters to our Makefiles, so the architecture of the wheels is a variable of its own, and could
disagree with the template's parameter. Hence that allows the one that was built, and no other, in the template as
written (arm64) and as built: CloudFormation refuses to deploy it with another.

What a deployment takes is built for arm64, which is cheaper, and what runs in Docker on this machine for this machine:
two folders, so that neither is taken for the other.

SAM CLI's own cache does not know of that variable, and takes seconds to find that nothing has changed. The digest of
what was built lies in the build folder, which every ``sam build`` empties: a build that somebody else made is never
taken for ours.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from samcli.yamlhelper import yaml_dump, yaml_parse

from tools.local.machine import machine_architecture

_ROOT = Path(__file__).resolve().parents[2]
DEPLOYMENT_FOLDER = _ROOT / ".aws-sam" / "build"
_LOCAL_FOLDER = _ROOT / ".aws-sam" / "local"
LOCAL_TEMPLATE = _LOCAL_FOLDER / "template.yaml"
_DIGEST = "nextbest.sha256"
_SOURCES = ("template.yaml", "samconfig.toml", "layers", "functions")
# The runtime that template.yaml names.
BUILD_PYTHON = "python3.13"
# The first is the template's default.
ARCHITECTURES = ("arm64", "x86_64")
_VARIABLE = "NEXTBEST_ARCHITECTURE"  # of our Makefiles


class BuildFailed(Exception):
    """``sam build`` failed, after it said why."""


def sam() -> str:
    """The SAM CLI that is installed beside this Python."""
    return str(Path(sys.executable).with_name("sam"))


def ensure_built() -> bool:
    """Build for this machine if the sources differ from those of the last build; whether it did. Raises BuildFailed."""
    architecture = machine_architecture()
    digest = _LOCAL_FOLDER / _DIGEST
    if LOCAL_TEMPLATE.exists() and digest.exists() and digest.read_text() == sources_digest(_ROOT, architecture):
        return False
    build(architecture, _LOCAL_FOLDER)
    return True


def build(architecture: str, folder: Path) -> None:
    """Run ``sam build`` for an architecture into a folder. Raises BuildFailed."""
    environment = {**os.environ, _VARIABLE: architecture}
    digest = sources_digest(_ROOT, architecture)
    command = [sam(), "build", "--build-dir", str(folder)]
    if subprocess.run(command, cwd=_ROOT, env=environment, check=False, stdout=sys.stderr).returncode != 0:
        raise BuildFailed("`sam build` failed")
    pin_architecture(folder / "template.yaml", architecture)
    (folder / _DIGEST).write_text(digest)


def pin_architecture(template: Path, architecture: str) -> None:
    """Let the template's parameter Architecture have this value only."""
    document = yaml_parse(template.read_text())
    document["Parameters"]["Architecture"] |= {"Default": architecture, "AllowedValues": [architecture]}
    template.write_text(yaml_dump(document))


def sources_digest(root: Path, architecture: str) -> str:
    """A digest of all that a build depends on."""
    digest = hashlib.sha256(architecture.encode())
    for path in _files(root):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for source in _SOURCES:
        path = root / source
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)
