"""Parquet, read by DuckDB as a stream of rows in the order of the file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nextbest.errors import FileUnusable
from nextbest.event_files.columns import LABELS, MEMBERS, ColumnNames
from nextbest.event_files.rows import Values

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SOURCE = "read_parquet(?, file_row_number=true, binary_as_string=true)"
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_ROWS_AT_A_TIME = 5_000


def check_parquet(path: Path, names: ColumnNames) -> int:
    """Read every value of the columns that are needed, and return how many rows there are. Raises FileUnusable."""
    with _connection(path) as (connection, source):
        columns = ", ".join(_columns(connection, source, path, names))
        # The hash makes DuckDB decode what a count alone would leave out.
        query = f"SELECT count(*), bit_xor(hash({columns})) FROM {_SOURCE}"
        ((rows, _),) = connection.execute(query, [source]).fetchall()
    return int(rows)


def read_parquet(path: Path, names: ColumnNames) -> Iterator[tuple[int, Values]]:
    """The number of each row, from 1, and its values in the order of MEMBERS: text, lists of labels, None for null.

    Raises FileUnusable.
    """
    with _connection(path) as (connection, source):
        columns = ", ".join(_columns(connection, source, path, names))
        connection.execute(f"SELECT file_row_number + 1, {columns} FROM {_SOURCE}", [source])
        while rows := connection.fetchmany(_ROWS_AT_A_TIME):
            yield from ((row[0], cast(Values, row[1:])) for row in rows)


def _columns(connection: DuckDBPyConnection, source: str, path: Path, names: ColumnNames) -> list[str]:
    """An SQL expression for each of MEMBERS."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {_SOURCE}", [source]).fetchall()
    places = names.places([column for column, *_ in described[:-1]], path)
    expressions = []
    for member in MEMBERS:
        if member not in places:
            expressions.append("NULL")
            continue
        column, kind, *_ = described[places[member]]
        quoted = '"' + column.replace('"', '""') + '"'
        if member == LABELS and kind == "VARCHAR[]":
            expressions.append(quoted)
        elif kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "BLOB")):
            raise FileUnusable(f"{path}: column {column} holds {kind.partition('(')[0]} values, not {member}")
        else:
            expressions.append(f"CAST({quoted} AS VARCHAR)")
    return expressions


@contextmanager
def _connection(path: Path) -> Iterator[tuple[DuckDBPyConnection, str]]:
    """A connection, and the name under which it reads the file; errors of DuckDB become FileUnusable, in one line."""
    try:
        import duckdb
    except ImportError:
        raise FileUnusable(f"{path} is a Parquet file, and reading it needs the package duckdb") from None
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:", config=_SETTINGS) as connection:
        # DuckDB takes a path for a pattern or the address of a remote file; the name of the link is neither.
        link = Path(folder) / "events.parquet"
        link.symlink_to(path.resolve())
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection, str(link)
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0].replace(str(link), str(path))
            raise FileUnusable(f"cannot read {path}: {reason}") from error
