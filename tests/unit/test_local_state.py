"""The state folder belongs to its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.local.state import NotAStateFolder, make_private, write_private


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_new_folder_is_private(tmp_path: Path) -> None:
    make_private(tmp_path / "parent" / "state")

    assert mode(tmp_path / "parent" / "state") == 0o700


@pytest.mark.parametrize("entry", [None, "lock", "load", "docker"])
def test_wider_folder_is_narrowed(tmp_path: Path, entry: str | None) -> None:
    tmp_path.chmod(0o755)
    if entry is not None:
        (tmp_path / entry).touch()

    make_private(tmp_path)

    assert mode(tmp_path) == 0o700


def test_folder_with_other_contents_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(NotAStateFolder, match="holds other files"):
        make_private(tmp_path)
    assert mode(tmp_path) == 0o755


def test_private_file_replaces_a_wider_one(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
