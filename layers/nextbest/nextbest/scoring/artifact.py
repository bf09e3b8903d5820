"""The artifact: a header and named arrays in one binary file. Never pickle.

    offset  bytes  what
    0       8      magic b"NEXTBEST"
    8       4      format version (uint32, little-endian like everything here)
    12      4      crc32 of the header JSON
    16      8      bytes of the header JSON
    24      4      crc32 of everything after the header's padding
    28      4      zero
    32      …      header JSON (UTF-8): {"arrays": [{"name", "dtype", "shape", "offset"}], "model": {…}}
    …       …      zero padding to a multiple of 64, then each array, padded to a multiple of 64

Array offsets count from the end of the header's padding. Aligned arrays are used as views of the buffer, so reading is
one pass of checksum (about 1 GB/s) and no copy.

A checksum says that a file is as it was written, not that the writer was right. Readers take every part out through
the functions below (``text_list``, ``finite``, ``vector``), so that a file with anything else in it is refused as a
whole when it is read, and not by the first request that is answered with it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from nextbest.errors import ArtifactError

VERSION = 3
"""Version 2 knew nothing of visits or first takings, and calibrated repeats on all that a user can do; version 1 had
nothing for actions that the model does not know. Both can still be read."""
_MAGIC = b"NEXTBEST"
_HEAD = struct.Struct("<8sIIQII")
_ALIGNMENT = 64
_DTYPES = frozenset({"uint8", "uint16", "uint32", "int32", "int64", "float16", "float32", "float64"})
MAX_HEADER_BYTES = 16 << 20
"""JSON takes up to twenty times its size when it is read."""

Result = TypeVar("Result")


def encode(model: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """The file for a JSON-able ``model`` header and its ``arrays``."""
    entries: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        dtype = array.dtype.name
        if dtype not in _DTYPES:
            raise ArtifactError(f"array {name} has type {dtype}; allowed are {sorted(_DTYPES)}")
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        entries.append({"name": name, "dtype": dtype, "shape": list(array.shape), "offset": offset})
        chunks.append(data + bytes(-len(data) % _ALIGNMENT))
        offset += len(chunks[-1])
    header = json.dumps({"arrays": entries, "model": model}, separators=(",", ":"), allow_nan=False).encode()
    if len(header) > MAX_HEADER_BYTES:
        raise ArtifactError(f"the header has {len(header):,} bytes; at most {MAX_HEADER_BYTES:,} are read")
    body = b"".join(chunks)
    head = _HEAD.pack(_MAGIC, VERSION, crc32(header), len(header), crc32(body), 0)
    return b"".join([head, header, bytes(-(len(head) + len(header)) % _ALIGNMENT), body])


def decode(data: bytes | bytearray | memoryview) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Inverse of ``encode``; arrays are read-only views of ``data``. Raises ArtifactError."""
    view = memoryview(data).cast("B").toreadonly()
    if len(view) < _HEAD.size:
        raise ArtifactError(f"a model file has at least {_HEAD.size} bytes; this one has {len(view)}")
    magic, version, header_crc, header_bytes, body_crc, _ = _HEAD.unpack_from(view)
    if magic != _MAGIC:
        raise ArtifactError("this is not a Nextbest model file")
    if version > VERSION:
        raise ArtifactError(f"the model file has format version {version}; this code reads up to {VERSION}")
    header = view[_HEAD.size : _HEAD.size + header_bytes]
    if header_bytes > MAX_HEADER_BYTES or len(header) != header_bytes or crc32(header) != header_crc:
        raise ArtifactError("the header of the model file is damaged or cut off")
    start = _HEAD.size + header_bytes
    body = view[start + -start % _ALIGNMENT :]
    if crc32(body) != body_crc:
        raise ArtifactError("the arrays of the model file are damaged or cut off")
    return read(lambda: _content(bytes(header), body))


def _content(header: bytes, body: memoryview) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    content = json.loads(header)
    arrays = {entry["name"]: _array(body, entry) for entry in content["arrays"]}
    return json_object(content["model"]), arrays


def _array(body: memoryview, entry: dict[str, Any]) -> NDArray[Any]:
    dtype, shape, offset = entry["dtype"], entry["shape"], entry["offset"]
    if dtype not in _DTYPES or not all(type(number) is int and number >= 0 for number in (*shape, offset)):
        raise ValueError(f"array {entry['name']} has type {dtype}, shape {shape} and offset {offset}")
    return np.frombuffer(body, np.dtype(dtype).newbyteorder("<"), math.prod(shape), offset).reshape(shape)


def places_of_arrays(data: bytes) -> dict[str, int]:
    """Where in a file that was just encoded each array begins, in bytes: for readers of a part of it."""
    *_, header_bytes, _, _ = _HEAD.unpack_from(data)
    start = _HEAD.size + header_bytes
    start += -start % _ALIGNMENT
    entries = json.loads(data[_HEAD.size : _HEAD.size + header_bytes])["arrays"]
    return {entry["name"]: start + entry["offset"] for entry in entries}


def read(assemble: Callable[[], Result]) -> Result:
    """Run ``assemble``; content that lacks or mistypes something, or is nested too deeply, becomes an ArtifactError."""
    try:
        return assemble()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ArtifactError(f"the model file cannot be read: {str(error)[:200] or type(error).__name__}") from error


def text_list(value: Any) -> list[str]:
    """``value``, a list of texts. Raises TypeError for anything else."""
    if not isinstance(value, list) or not {str}.issuperset(map(type, value)):
        raise TypeError("a list of texts was expected")
    return value


def json_object(value: Any) -> dict[str, Any]:
    """``value``, a JSON object. Raises TypeError for anything else."""
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {type(value).__name__}")
    return value


def finite(value: Any) -> float:
    """``value``, a finite number. Raises ValueError for anything else."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a finite number was expected")
    return float(value)


def vector(arrays: dict[str, NDArray[Any]], name: str, kinds: str, size: int | None = None) -> NDArray[Any]:
    """The array ``name``, of one dimension, a type of one of numpy's ``kinds``, and ``size`` entries.

    Without ``size`` there has to be at least one entry. Raises KeyError, ValueError.
    """
    array = arrays[name]
    fits = array.shape == (size,) if size is not None else array.ndim == 1 and array.shape[0] > 0
    if not fits or array.dtype.kind not in kinds:
        raise ValueError(f"array {name} has shape {array.shape} and type {array.dtype}")
    return array


def matrix(arrays: dict[str, NDArray[Any]], name: str, kinds: str, shape: tuple[int, int]) -> NDArray[Any]:
    """The array ``name``, of this ``shape`` and a type of one of numpy's ``kinds``. Raises KeyError, ValueError."""
    array = arrays[name]
    if array.shape != shape or array.dtype.kind not in kinds:
        raise ValueError(f"array {name} has shape {array.shape} and type {array.dtype}")
    return array


def check_runs(starts: NDArray[np.int64], indices: NDArray[np.unsignedinteger[Any]], bound: int) -> None:
    """Raise ValueError unless ``starts`` cuts ``indices`` into runs, and all of these are under ``bound``."""
    if starts[0] != 0 or starts[-1] != indices.shape[0] or bool((starts[1:] < starts[:-1]).any()):
        raise ValueError("the runs of a sparse array are out of order")
    if indices.shape[0] and int(indices.max()) >= bound:
        raise ValueError(f"a sparse array refers to entry {int(indices.max())} of {bound}")


def pack_names(names: Sequence[str]) -> NDArray[np.uint8]:
    """Names as UTF-8 JSON in a byte array."""
    encoded = json.dumps(list(names), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return np.frombuffer(encoded, np.uint8)


def unpack_names(packed: NDArray[np.uint8]) -> list[str]:
    """Inverse of ``pack_names``. Raises ValueError, TypeError, RecursionError."""
    return text_list(json.loads(packed.tobytes().decode("utf-8", "surrogatepass")))
