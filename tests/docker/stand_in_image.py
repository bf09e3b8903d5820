"""A stand-in for AWS's base image of Lambda functions, for machines that cannot have the real one.

SAM CLI needs little of its base image: a shell with chmod and mv, ``/var/runtime/bootstrap``, and a Python with AWS's
runtime client. All of it comes from this machine: its own Python of that version, with the shared libraries that this
and compiled packages load, a static busybox (Debian: ``busybox-static``), and ``awslambdaric`` from the package index.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

_BUSYBOX = Path("/bin/busybox")
_SHELL = ("sh", "cat", "chmod", "cp", "ls", "mkdir", "mv", "rm")
# What numpy, scipy and the like load besides; binaries for many Linuxes bring the rest with them.
_LIBRARIES = (
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
)
_ENVIRONMENT = {
    "LANG": "en_US.UTF-8",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/var/runtime:/var/task:/var/task/lib:/opt/lib",
    "PATH": "/var/lang/bin:/bin",
    "TZ": ":/etc/localtime",
}
# In the order in which AWS's own runtime looks for modules.
_BOOTSTRAP = """#!/bin/sh
export PYTHONPATH=/var/task:/opt/python/lib/{python}/site-packages:/opt/python:/var/runtime
exec /var/lang/bin/python3 -m awslambdaric "${{_HANDLER:-$AWS_LAMBDA_FUNCTION_HANDLER}}"
"""


class CannotMakeImage(Exception):
    """The machine lacks something that the stand-in is made of; the message names it."""


def make_image(name: str, *, python: str) -> None:
    """Make the Docker image ``name`` with this machine's ``python`` (``python3.13``). Raises CannotMakeImage."""
    if not _BUSYBOX.exists() or "statically" not in _run("file", "-L", str(_BUSYBOX)):
        raise CannotMakeImage("a static /bin/busybox is needed: apt-get install busybox-static file")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        _fill(root, python)
        archive = Path(folder) / "image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname="/")
        changes = [f"--change=ENV {key}={value}" for key, value in _ENVIRONMENT.items()]
        changes += ["--change=WORKDIR /var/task", f"--change=ENTRYPOINT {json.dumps(['/var/runtime/bootstrap'])}"]
        _run("docker", "import", *changes, str(archive), name)


def _fill(root: Path, python: str) -> None:
    for directory in ("bin", "lib64", "tmp", "etc", "opt", "var/task", "var/runtime", "var/rapid", "var/lang/bin"):
        (root / directory).mkdir(parents=True)
    shutil.copy(_BUSYBOX, root / "bin" / "busybox")
    for command in _SHELL:
        (root / "bin" / command).symlink_to("busybox")
    executable, standard_library = _paths_of(python)
    library = root / "var" / "lang" / "lib" / python
    shutil.copy(executable, root / "var" / "lang" / "bin" / "python3")
    unneeded = shutil.ignore_patterns(
        "site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__", "*.a"
    )
    shutil.copytree(standard_library, library, ignore=unneeded)
    for source in _shared_libraries(executable, *library.rglob("*.so")):
        shutil.copy(source, root / "lib64" / source.name)
    runtime = root / "var" / "runtime"
    client = f"awslambdaric=={version('awslambdaric')}"
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(runtime), client)
    (runtime / "bootstrap").write_text(_BOOTSTRAP.format(python=python))
    (runtime / "bootstrap").chmod(0o755)
    # Without compiled files a cold start takes eight times as long.
    _run(
        python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", str(library), str(runtime)
    )


def _paths_of(python: str) -> tuple[Path, Path]:
    """The executable, without the indirections of version managers, and the standard library."""
    code = "import sys, sysconfig; print(sys.executable, sysconfig.get_path('stdlib'), sep='\\n')"
    executable, standard_library = _run(python, "-c", code).splitlines()
    return Path(executable).resolve(), Path(standard_library)


def _shared_libraries(*binaries: Path) -> set[Path]:
    """What the dynamic loader would load for these binaries, the loader itself, and _LIBRARIES, on this machine."""
    loaded = {Path(path) for path in re.findall(r"(/\S+) \(0x", _run("ldd", *map(str, binaries)))}
    folders = [
        Path("/lib") / sysconfig.get_config_var("MULTIARCH"),
        Path("/usr/lib") / sysconfig.get_config_var("MULTIARCH"),
    ]
    named = {folder / name for folder in folders for name in _LIBRARIES if (folder / name).exists()}
    return loaded | named


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise CannotMakeImage(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        raise CannotMakeImage(f"{command[0]}: {error.stderr.strip()}") from error
