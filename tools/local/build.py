"""``sam build``, once for each state of the sources.

SAM CLI's own cache does not know of ARCHITECTURE, which our Makefiles read, and takes seconds to find that nothing has
changed. The digest of what was built lies in the build folder, which every ``sam build`` empties: a build that somebody
else made is never taken for ours.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / ".aws-sam" / "build"
_DIGEST = _FOLDER / "nextbest.sha256"
_SOURCES = ("template.yaml", "samconfig.toml", "layers", "functions")
BUILT_TEMPLATE = _FOLDER / "template.yaml"
# The runtime that template.yaml names.
BUILD_PYTHON = "python3.13"


class BuildFailed(Exception):
    """``sam build`` failed, after it said why."""


def sam() -> str:
    """The SAM CLI that is installed beside this Python."""
    return str(Path(sys.executable).with_name("sam"))


def ensure_built() -> bool:
    """Run ``sam build`` if the sources differ from those of the last build; whether it ran. Raises BuildFailed."""
    digest = sources_digest(_ROOT, os.environ)
    if BUILT_TEMPLATE.exists() and _DIGEST.exists() and _DIGEST.read_text() == digest:
        return False
    if subprocess.run([sam(), "build"], cwd=_ROOT, check=False, stdout=sys.stderr).returncode != 0:
        raise BuildFailed("`sam build` failed")
    _DIGEST.write_text(digest)
    return True


def sources_digest(root: Path, environment: Mapping[str, str]) -> str:
    """A digest of all that a build depends on: sources, and the architecture that the Makefiles read."""
    digest = hashlib.sha256(environment.get("ARCHITECTURE", "").encode())
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
