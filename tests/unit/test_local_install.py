"""Installing: the engine is taken only from the package we know, and its sync calls are skipped."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tools.local import install

ROOT = Path(__file__).resolve().parents[2]
# fsync of a pipe fails; where sync calls are skipped, it does not.
SYNC_A_PIPE = "import os; os.fsync(os.pipe()[1]); os.fdatasync(os.pipe()[1]); print(os.getppid() > 0)"


def package(folder: Path, content: bytes) -> Path:
    """An npm package with one binary in it."""
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("package/dynoxide")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


def test_given_another_package_when_unpacked_then_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "ENGINE", tmp_path / "dynoxide")

    with pytest.raises(install.InstallFailed, match="not the one expected"):
        install.unpack_engine(package(tmp_path, b"other"))
    assert not (tmp_path / "dynoxide").exists()


def test_given_the_known_package_when_unpacked_then_the_binary_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = package(tmp_path, b"#!/bin/sh\necho engine\n")
    digest = base64.b64encode(hashlib.sha512(known.read_bytes()).digest()).decode()
    monkeypatch.setattr(install, "ENGINE", tmp_path / "dynoxide")
    monkeypatch.setattr(install, "ENGINE_SHA512", digest)

    install.unpack_engine(known)

    assert subprocess.check_output([tmp_path / "dynoxide"]) == b"engine\n"


def test_given_changed_requirements_when_fingerprinted_then_it_changes(tmp_path: Path) -> None:
    requirements = tmp_path / "local.txt"
    requirements.write_text("a==1\n")
    before = install.fingerprint(requirements)

    assert install.fingerprint(requirements) == before
    requirements.write_text("a==2\n")
    assert install.fingerprint(requirements) != before


def test_given_a_failing_command_when_run_then_the_end_of_its_output_is_told() -> None:
    with pytest.raises(install.InstallFailed, match=r"ended with status 3: it broke"):
        install.run([sys.executable, "-c", "print('it broke'); raise SystemExit(3)"])


@pytest.mark.parametrize(("prefix", "status"), [((), 1), (("-m", "tools.local.nosync", sys.executable), 0)])
def test_given_nosync_when_a_command_syncs_then_the_call_is_skipped(prefix: tuple[str, ...], status: int) -> None:
    result = subprocess.run(
        [sys.executable, *prefix, "-c", SYNC_A_PIPE], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == status, result.stderr
