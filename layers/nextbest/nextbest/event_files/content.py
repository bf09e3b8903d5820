"""What a file is, and its text as lines; a file that is damaged, or is no text, is found here and named in a line."""

from __future__ import annotations

import codecs
import gzip
import importlib
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from nextbest.errors import FileUnusable

PARQUET_MAGIC = b"PAR1"
# A longer line is no line of events, and must not fill the memory.
MAX_LINE_CHARACTERS = 1 << 20

_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_FOREIGN = {
    b"PK\x03\x04": "a zip file or a spreadsheet: unpack it, or save it as CSV",
    b"BZh": "compressed with bzip2: gzip or zstd is needed",
    b"\xfd7zXZ": "compressed with xz: gzip or zstd is needed",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
}
_CHUNK_BYTES = 1 << 20


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet files do. Raises FileUnusable where it cannot be opened."""
    with _reading(path):
        return _first_bytes(path).startswith(PARQUET_MAGIC)


def check_text(path: Path) -> int:
    """Read a text file to its end, checksums included, and return how many lines it has. Raises FileUnusable."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, is_blank, last = 0, True, b""
    with _reading(path), _open_binary(path) as binary:
        while chunk := binary.read(_CHUNK_BYTES):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                # ``error.object`` starts with what was left of the chunk before.
                line = lines + error.object.count(b"\n", 0, error.start) + 1
                raise FileUnusable(f"cannot read {path}: line {line} is not UTF-8 text; convert it to UTF-8") from None
            lines += chunk.count(b"\n")
            is_blank, last = is_blank and not chunk.strip(), chunk
        if decoder.getstate()[0]:
            raise FileUnusable(f"cannot read {path}: it is cut off within a character")
    if is_blank:
        raise FileUnusable(f"{path} is empty: it has no rows; a header and rows are needed")
    return lines + (not last.endswith(b"\n"))


@contextmanager
def open_lines(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a text file with their line ends, decompressed. Raises FileUnusable, also while they are read.

    Lines end as the first one does: with a line feed, or (as once on the Mac) with a carriage return alone.
    """
    with _reading(path):
        with _open_text(path, "\n") as text:
            first = text.readline(MAX_LINE_CHARACTERS).rstrip("\r\n")
        with _open_text(path, "\r" if "\r" in first else "\n") as text:
            yield _limited_lines(path, text)


def _limited_lines(path: Path, text: IO[str]) -> Iterator[str]:
    for line in iter(partial(text.readline, MAX_LINE_CHARACTERS), ""):
        if len(line) == MAX_LINE_CHARACTERS:
            raise FileUnusable(f"{path} has a line of more than {MAX_LINE_CHARACTERS:,} characters: no file of events")
        yield line


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


@contextmanager
def _open_text(path: Path, newline: str) -> Iterator[IO[str]]:
    with _open_binary(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline=newline) as text:
        yield text


@contextmanager
def _open_binary(path: Path) -> Iterator[Any]:
    first = _first_bytes(path)
    for magic, what in _FOREIGN.items():
        if first.startswith(magic):
            raise FileUnusable(f"{path} is {what}")
    if first.startswith(_GZIP_MAGIC):
        with gzip.open(path) as unpacked:
            yield unpacked
    elif first.startswith(_ZSTD_MAGIC):
        zstd = _import_zstd(path)
        try:
            with zstd.open(path) as unpacked:
                yield unpacked
        except zstd.ZstdError as error:
            raise FileUnusable(f"cannot read {path}: {one_line(error)}") from error
    else:
        with path.open("rb") as plain:
            yield plain


def _import_zstd(path: Path) -> Any:
    """Python's module for zstd or, before Python 3.14, its backport."""
    try:
        return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        raise FileUnusable(f"{path} is compressed with zstd, which this Python cannot read: gzip is needed") from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what opening and reading may raise into FileUnusable, in one line."""
    try:
        if not path.exists():
            raise FileUnusable(f"there is no file {path}")
        if path.is_dir():
            raise FileUnusable(f"{path} is a folder; name the files in it")
        if not path.is_file():
            raise FileUnusable(f"{path} is not a regular file")
        yield
    except UnicodeDecodeError:
        raise FileUnusable(f"cannot read {path}: it is not UTF-8 text") from None
    except (OSError, EOFError, zlib.error) as error:
        raise FileUnusable(f"cannot read {path}: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """What an exception says, in one line."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(reason.split())
