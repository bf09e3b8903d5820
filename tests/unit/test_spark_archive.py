"""The archive that Spark jobs run: a Python, the library and what it needs; nothing of this machine."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

import nextbest
from nextbest.aws.spark_jobs import PYTHON
from tools.cli import spark_archive
from tools.cli.deployment import OperationFailed
from tools.cli.spark_archive import build_archive, upload_archive


class Uv:
    """uv, which installs nothing but one file each time."""

    def __init__(self) -> None:
        self.calls: list[Sequence[str]] = []

    def __call__(self, arguments: Sequence[str]) -> None:
        self.calls.append(arguments)
        if arguments[0] == "python":
            binaries = Path(arguments[-1]) / "cpython-3.11.9-linux-aarch64-gnu" / "bin"
            binaries.mkdir(parents=True)
            (binaries / "python3.11").touch()
            (binaries / "python3").symlink_to("python3.11")
        else:
            package = Path(arguments[arguments.index("--target") + 1]) / "numpy"
            (package / "tests").mkdir(parents=True)
            for name in ("__init__.py", "tests/test_all.py"):
                (package / name).touch()


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources with a library, an entry point, and requirements."""
    root = tmp_path / "sources"
    for name in ("layers/nextbest/nextbest/__init__.py", "tools/__init__.py", "tools/spark/rebase.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    monkeypatch.setattr(spark_archive, "ROOT", root)
    return root


def test_the_archive_has_all_that_a_job_takes_and_its_python_where_the_job_looks(tmp_path: Path) -> None:
    uv = Uv()

    archive = build_archive(tmp_path / "built", uv=uv)

    with tarfile.open(archive) as file:
        members = {member.name: member for member in file.getmembers() if not member.isdir()}
    packages = "./lib/python3.11/site-packages"
    assert members.keys() == {
        *("./bin/python3", "./bin/python3.11"),
        *(f"{packages}/nextbest/__init__.py", f"{packages}/numpy/__init__.py"),
        *(f"{packages}/tools/__init__.py", f"{packages}/tools/spark/rebase.py"),
    }
    assert PYTHON == "./environment/bin/python3"
    assert members["./bin/python3"].linkname == "python3.11"
    assert {(member.uid, member.uname) for member in members.values()} == {(0, "")}
    assert sorted(path.name for path in (tmp_path / "built").iterdir()) == ["environment.tar.gz", "rebase.py"]
    # For another processor than this machine's, and nothing that is not pinned
    assert uv.calls[0][3] == "cpython-3.11-linux-aarch64-gnu"
    assert {"--require-hashes", "aarch64-manylinux_2_28", "3.11"} <= set(uv.calls[1])


def test_a_python_that_is_there_is_taken(tmp_path: Path) -> None:
    uv, python = Uv(), tmp_path / "python"
    (python / "bin").mkdir(parents=True)

    with pytest.raises(OperationFailed, match=r"has no bin/python3\.11"):
        build_archive(tmp_path / "built", python=python, uv=uv)
    (python / "bin" / "python3.11").touch()
    build_archive(tmp_path / "built", python=python, uv=uv)

    assert [call[0] for call in uv.calls] == ["pip"]


@mock_aws
def test_it_is_stored_where_jobs_look_for_it(tmp_path: Path) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="artifacts")
    with pytest.raises(OperationFailed, match="build-spark"):
        upload_archive(s3, "artifacts", tmp_path / "built")

    build_archive(tmp_path / "built", uv=Uv())
    assert upload_archive(s3, "artifacts", tmp_path / "built") == ["spark/environment.tar.gz", "spark/rebase.py"]

    version = s3.head_object(Bucket="artifacts", Key="spark/rebase.py")["Metadata"]
    assert version == {"nextbest-version": nextbest.__version__}
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket="artifacts")["Contents"]}
    assert keys == {"spark/environment.tar.gz", "spark/rebase.py"}
