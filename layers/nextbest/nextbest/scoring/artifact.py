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
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from nextbest.errors import ArtifactError

VERSION = 2
"""Version 1 had nothing for actions that the model does not know; it can still be read."""
_MAGIC = b"NEXTBEST"
_HEAD = struct.Struct("<8sIIQII")
_ALIGNMENT = 64
_DTYPES = frozenset({"uint8", "uint16", "uint32", "int32", "int64", "float16", "float32", "float64"})

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
    if len(header) != header_bytes or crc32(header) != header_crc:
        raise ArtifactError("the header of the model file is damaged or cut off")
    start = _HEAD.size + header_bytes
    body = view[start + -start % _ALIGNMENT :]
    if crc32(body) != body_crc:
        raise ArtifactError("the arrays of the model file are damaged or cut off")
    content = json.loads(bytes(header))
    arrays = {entry["name"]: _array(body, entry) for entry in content["arrays"]}
    return content["model"], arrays


def _array(body: memoryview, entry: dict[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(entry["dtype"]).newbyteorder("<")
    count = int(np.prod(entry["shape"], dtype=np.int64))
    return np.frombuffer(body, dtype, count, entry["offset"]).reshape(entry["shape"])


def read(assemble: Callable[[], Result]) -> Result:
    """Run ``assemble``; a header that lacks or mistypes something becomes an ArtifactError."""
    try:
        return assemble()
    except (KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        raise ArtifactError(f"the model file cannot be read: {error!r}") from error


def pack_names(names: Sequence[str]) -> NDArray[np.uint8]:
    """Names as UTF-8 JSON in a byte array."""
    encoded = json.dumps(list(names), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return np.frombuffer(encoded, np.uint8)


def unpack_names(packed: NDArray[np.uint8]) -> list[str]:
    """Inverse of ``pack_names``."""
    names: list[str] = json.loads(packed.tobytes().decode("utf-8", "surrogatepass"))
    return names
