"""The files of events that a command line names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nextbest.errors import FileUnusable


def expand_files(names: Iterable[str]) -> list[Path]:
    """The files of names and patterns; what is the name of a file is no pattern. Raises FileUnusable."""
    paths: list[Path] = []
    for name in names:
        path = Path(name)
        if path.exists() or not set(name) & set("*?["):
            paths.append(path)
        elif matches := sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))):
            paths += matches
        else:
            raise FileUnusable(f"there is no file {name}, and none that this pattern matches")
    return list(dict.fromkeys(paths))
