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


def test_given_settings_of_pip_when_translated_then_uv_uses_the_same_index_certificates_and_folders() -> None:
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


def test_given_no_settings_when_translated_then_uv_trusts_the_systems_certificates_as_pip_does() -> None:
    assert install.uv_variables("") == {"UV_SYSTEM_CERTS": "1", "UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_given_uv_that_cannot_be_installed_when_installing_then_it_says_so_and_pip_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requirements = tmp_path / "local.txt"
    requirements.write_text("")
    refuse_uv = "import sys; sys.exit(sys.argv[-1].endswith('uv.txt'))"
    monkeypatch.setattr(install, "PIP", [sys.executable, "-c", refuse_uv])

    install.install_packages(requirements)

    assert "using pip instead of uv" in capsys.readouterr().out


def test_given_uv_that_fails_when_installing_then_pip_does_it(
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


def test_given_neither_uv_nor_pip_when_installing_then_the_installation_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "local.txt"
    requirements.write_text("")
    monkeypatch.setattr(install, "PIP", [sys.executable, "-c", "raise SystemExit('no network')"])

    with pytest.raises(install.InstallFailed, match="pip ended with status 1:\nno network"):
        install.install_packages(requirements)


def test_given_a_new_environment_when_created_then_pip_works_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path / "venv")
    monkeypatch.setattr(install, "VENV_PYTHON", tmp_path / "venv" / "bin" / "python")

    install.create_venv()

    version = subprocess.check_output([install.VENV_PYTHON, "-m", "pip", "--version"], text=True)
    assert f"{tmp_path}/venv/lib" in version


def test_given_no_wheel_of_pip_when_an_environment_is_created_then_ensurepip_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(install, "bundled_pip", lambda: None)
    monkeypatch.setattr(install, "run", commands.append)

    install.create_venv()

    assert commands == [[sys.executable, "-m", "venv", "--clear", str(install.VENV)]]


def test_given_a_failing_command_when_run_then_the_error_quotes_the_end_of_its_output() -> None:
    with pytest.raises(install.InstallFailed, match=r"ended with status 3: it broke"):
        install.run([sys.executable, "-c", "print('it broke'); raise SystemExit(3)"])


@pytest.mark.parametrize(("prefix", "status"), [((), 1), (("-m", "tools.local.nosync", sys.executable), 0)])
def test_given_nosync_when_a_command_syncs_then_the_call_is_skipped(prefix: tuple[str, ...], status: int) -> None:
    result = subprocess.run(
        [sys.executable, *prefix, "-c", SYNC_A_PIPE], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == status, result.stderr
