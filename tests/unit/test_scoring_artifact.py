"""The model file: what is written is read, and what is damaged is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.errors import ArtifactError
from nextbest.scoring import Model, artifact

ARRAYS: dict[str, NDArray[Any]] = {
    "narrow": np.arange(5, dtype=np.uint16),
    "half": np.linspace(0, 1, 7, dtype=np.float16).reshape(7, 1),
    "empty": np.zeros(0, np.float64),
}


def test_arrays_and_header_survive() -> None:
    header, arrays = artifact.decode(artifact.encode({"name": "é"}, ARRAYS))
    assert header == {"name": "é"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
        assert not arrays[name].flags.writeable


def test_every_flipped_byte_is_noticed() -> None:
    # Given a file, whose last four bytes of fixed head and whose header padding alone carry nothing
    data = artifact.encode({}, ARRAYS)
    header_end = 32 + struct.unpack_from("<Q", data, 16)[0]
    body = header_end + -header_end % 64
    for position in [*range(28), *range(32, header_end), *range(body, len(data))]:
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        with pytest.raises(ArtifactError):
            artifact.decode(damaged)


@pytest.mark.parametrize("size", [0, 8, 31, 100, -1])
def test_a_file_cut_off_is_refused(size: int) -> None:
    with pytest.raises(ArtifactError):
        artifact.decode(artifact.encode({}, ARRAYS)[:size])


def test_a_newer_file_is_refused_with_both_versions_named() -> None:
    data = bytearray(artifact.encode({}, ARRAYS))
    struct.pack_into("<I", data, 8, artifact.VERSION + 1)
    with pytest.raises(ArtifactError, match=f"version {artifact.VERSION + 1}.*up to {artifact.VERSION}"):
        artifact.decode(data)


def test_a_sound_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(artifact.encode({"event_types": []}, ARRAYS))
    with pytest.raises(ArtifactError, match="asset_ids"):
        Model.load(path)


def test_names_survive() -> None:
    names = ["", "tea", "\udc80 lone surrogate", "日本"]
    assert artifact.unpack_names(artifact.pack_names(names)) == names
