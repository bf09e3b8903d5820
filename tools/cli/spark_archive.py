"""What Spark jobs run: the entry point, and an archive with Python, the library and all that it needs.

EMR Serverless 7 brings Spark 3.5 and Java 17, and Python 3.9, which is older than what the library takes. So the
archive has a Python of its own: the relocatable build that uv installs
(https://gregoryszorc.com/docs/python-build-standalone/main/), for Linux on arm64 whatever this machine is. pyspark is
not in it: the job gets the one of its Spark.

Source: "Using different Python versions with EMR Serverless", Amazon EMR Serverless User Guide.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nextbest
from tools.cli.deployment import OperationFailed

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".aws-sam" / "spark"
ARCHIVE, ENTRY_POINT = "environment.tar.gz", "rebase.py"
PREFIX = "spark/"
"""Where the bucket has both (``store/environment.py``)."""

VERSION = "nextbest-version"
"""The metadata of both that names their version of the library."""

PYTHON_VERSION = "3.11"
_PYTHON = f"cpython-{PYTHON_VERSION}-linux-aarch64-gnu"
_PLATFORM = "aarch64-manylinux_2_28"  # EMR Serverless 7 is Amazon Linux 2023, with glibc 2.34
_REQUIREMENTS = ("runtime", "training")
_NOT_NEEDED = frozenset({"__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip"})

Run = Callable[[Sequence[str]], None]


def run_uv(arguments: Sequence[str]) -> None:
    """Run uv, which is installed beside this Python. Raises OperationFailed."""
    program = Path(sys.executable).with_name("uv")
    if not program.exists():
        raise OperationFailed("uv is not installed here: `make install-dev` does that")
    command = [str(program), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    if subprocess.run(command, check=False, env=environment, stdout=sys.stderr).returncode != 0:
        raise OperationFailed(f"`{' '.join(command)}` failed")


def build_archive(folder: Path = FOLDER, *, python: Path | None = None, uv: Run = run_uv) -> Path:
    """Make the archive and the entry point in ``folder``; the archive.

    ``python`` is a folder with the unpacked Python to take, for machines that cannot download one. Raises
    OperationFailed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home = _python_home(Path(name), python, uv)
        packages = home / "lib" / f"python{PYTHON_VERSION}" / "site-packages"
        lists = [part for each in _REQUIREMENTS for part in ("-r", str(ROOT / "requirements" / f"{each}.txt"))]
        uv(
            [
                *("pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"),
                *("--python-platform", _PLATFORM, "--python-version", PYTHON_VERSION),
                *("--target", str(packages), *lists),
            ]
        )
        shutil.copytree(ROOT / "layers/nextbest/nextbest", packages / "nextbest", dirs_exist_ok=True)
        (packages / "tools").mkdir()
        shutil.copy(ROOT / "tools/__init__.py", packages / "tools")
        shutil.copytree(ROOT / "tools/spark", packages / "tools/spark")
        archive = folder / ARCHIVE
        with tarfile.open(archive, "w:gz", compresslevel=6) as file:
            file.add(home, arcname=".", filter=_only_what_is_needed)
    shutil.copy(ROOT / "tools/spark" / ENTRY_POINT, folder / ENTRY_POINT)
    return archive


def upload_archive(s3: Any, bucket: str, folder: Path = FOLDER) -> list[str]:
    """Store what was built where jobs look for it; the keys. Raises OperationFailed where it was not built."""
    files = [folder / name for name in (ARCHIVE, ENTRY_POINT)]
    if not all(file.exists() for file in files):
        raise OperationFailed("there is nothing to upload yet: ./nextbest build-spark")
    for file in files:
        metadata = {VERSION: nextbest.__version__}
        s3.upload_file(str(file), bucket, f"{PREFIX}{file.name}", ExtraArgs={"Metadata": metadata})
    return [f"{PREFIX}{file.name}" for file in files]


def _python_home(folder: Path, python: Path | None, uv: Run) -> Path:
    home = folder / "python"
    if python is not None:
        if not (python / "bin" / f"python{PYTHON_VERSION}").exists():
            raise OperationFailed(f"{python} has no bin/python{PYTHON_VERSION}")
        shutil.copytree(python, home, symlinks=True)
        return home
    uv(["python", "install", "--quiet", _PYTHON, "--install-dir", str(folder / "installed")])
    (installed,) = [
        path for path in (folder / "installed").iterdir() if path.name.startswith("cpython-") and not path.is_symlink()
    ]
    installed.rename(home)
    return home


def _only_what_is_needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """All members belong to nobody in particular: who built the archive is no matter of the job."""
    if _NOT_NEEDED & set(Path(member.name).parts):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
