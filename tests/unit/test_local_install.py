"""Installing: uv gets the settings of pip or pip replaces it; the engine has the pinned hash and skips sync calls."""

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


def test_another_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "ENGINE", tmp_path / "dynoxide")

    with pytest.raises(install.InstallFailed, match="not the one expected"):
        install.unpack_engine(package(tmp_path, b"other"))
    assert not (tmp_path / "dynoxide").exists()


def test_the_binary_of_the_known_package_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = package(tmp_path, b"#!/bin/sh\necho engine\n")
    digest = base64.b64encode(hashlib.sha512(known.read_bytes()).digest()).decode()
    monkeypatch.setattr(install, "ENGINE", tmp_path / "dynoxide")
    monkeypatch.setattr(install, "ENGINE_SHA512", digest)

    install.unpack_engine(known)

    assert subprocess.check_output([tmp_path / "dynoxide"]) == b"engine\n"


def test_changed_requirements_change_the_fingerprint(tmp_path: Path) -> None:
    requirements = tmp_path / "local.txt"
    requirements.write_text("a==1\n")
    before = install.fingerprint(requirements)

    assert install.fingerprint(requirements) == before
    requirements.write_text("a==2\n")
    assert install.fingerprint(requirements) != before


def test_uv_uses_the_index_certificates_and_folders_of_pip() -> None:
    settings = """\
:env:.find-links='/wheels /more wheels'
:env:.index-url='https://mirror.example/simple'
global.cert='/etc/company.pem'
global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'
global.index-url='https://weaker.example/simple'
global.constraint='/etc/constraints.txt'
install.trusted-host='mirror.example'
list.format='columns'
"""
    assert install.uv_variables(settings) == {
        "UV_SYSTEM_CERTS": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/etc/company.pem",
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_EXTRA_INDEX_URL": "https://a.example/simple https://b.example/simple",
        "UV_FIND_LINKS": "/wheels,/more,wheels",
        "UV_INSECURE_HOST": "mirror.example",
    }


def test_without_settings_uv_trusts_the_systems_certificates_as_pip_does() -> None:
    assert install.uv_variables("") == {"UV_SYSTEM_CERTS": "1", "UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_uv_that_cannot_be_installed_is_told_and_pip_installs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requirements = tmp_path / "local.txt"
    requirements.write_text("")
    refuse_uv = "import sys; sys.exit(sys.argv[-1].endswith('uv.txt'))"
    monkeypatch.setattr(install, "PIP", [sys.executable, "-c", refuse_uv])

    install.install_packages(requirements)

    assert "using pip instead of uv" in capsys.readouterr().out


def test_pip_installs_where_uv_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requirements = tmp_path / "local.txt"
    requirements.write_text("")
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\nexit 7\n")
    uv.chmod(0o755)
    monkeypatch.setattr(install, "PIP", [sys.executable, "-c", ""])
    monkeypatch.setattr(install, "UV", uv)

    install.install_packages(requirements)

    assert "uv ended with status 7\nPackages: using pip instead of uv" in capsys.readouterr().out


def test_the_installation_fails_without_uv_and_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = tmp_path / "local.txt"
    requirements.write_text("")
    monkeypatch.setattr(install, "PIP", [sys.executable, "-c", "raise SystemExit('no network')"])

    with pytest.raises(install.InstallFailed, match="pip ended with status 1:\nno network"):
        install.install_packages(requirements)


def test_pip_works_in_a_new_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path / "venv")
    monkeypatch.setattr(install, "VENV_PYTHON", tmp_path / "venv" / "bin" / "python")

    install.create_venv()

    version = subprocess.check_output([install.VENV_PYTHON, "-m", "pip", "--version"], text=True)
    assert f"{tmp_path}/venv/lib" in version


def test_ensurepip_installs_pip_where_there_is_no_wheel_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(install, "bundled_pip", lambda: None)
    monkeypatch.setattr(install, "run", commands.append)

    install.create_venv()

    assert commands == [[sys.executable, "-m", "venv", "--clear", str(install.VENV)]]


def test_the_error_of_a_failing_command_quotes_the_end_of_its_output() -> None:
    with pytest.raises(install.InstallFailed, match=r"ended with status 3: it broke"):
        install.run([sys.executable, "-c", "print('it broke'); raise SystemExit(3)"])


@pytest.mark.parametrize(("prefix", "status"), [((), 1), (("-m", "tools.local.nosync", sys.executable), 0)])
def test_nosync_skips_the_syncs_of_a_command(prefix: tuple[str, ...], status: int) -> None:
    result = subprocess.run(
        [sys.executable, *prefix, "-c", SYNC_A_PIPE], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == status, result.stderr


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ("no such thing", None),
    ],
)
def test_the_version_of_java_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, version: int | None
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{output}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert install.java_version() == version


def test_missing_java_is_said_and_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)

    install.ensure_java()

    assert f"install -y --no-install-recommends {install.JAVA_PACKAGE}`" in capsys.readouterr().out
