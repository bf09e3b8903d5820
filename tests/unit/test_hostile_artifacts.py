"""Files of models, segments and catalogues that are sound by their checksums and wrong in what they hold.

Every one ends as an ArtifactError when it is read, so that whoever reads it stays with the last good one.
"""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import MAX_CONTENT_BYTES, Catalogue
from nextbest.domain.history import History
from nextbest.domain.programs import GoalEventType, Program
from nextbest.errors import ArtifactError
from nextbest.scoring import Model, artifact, recommend
from nextbest.scoring.goal_ranking import impacts_of, recommend_for_goal
from nextbest.scoring.memberships import Segments
from nextbest.training import train
from tests.factories import columns_of_events, drink_events

NOW = 1_750_000_000.0
DEEP = b"[" * 500_000
HEAD = struct.Struct("<8sIIQII")

Header = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


@cache
def model_bytes() -> bytes:
    program = Program("coffee", half_life_days=30, goal=(GoalEventType("order", 2.0),))
    return train(columns_of_events(drink_events(now=NOW)), program=program, now=NOW, seed=0).to_bytes()


@cache
def segments_bytes() -> bytes:
    actions = [Action("order", "latte"), Action("view", "tea")]
    of_users, of_actions = np.array([0, 1, 1], np.uint32), np.array([0, 0, 1], np.uint32)
    return Segments.of(["ann", "bob"], actions, of_users, of_actions, np.array([0.9, 0.5, 0.4])).encode()


READERS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], object]]] = {
    "model": (model_bytes, Model.from_bytes),
    "segments": (segments_bytes, Segments.decode),
}


def with_header(header: bytes, body: bytes = b"") -> bytes:
    """A file whose checksums are right, with any header."""
    head = HEAD.pack(b"NEXTBEST", artifact.VERSION, crc32(header), len(header), crc32(body), 0)
    return head + header + bytes(-(len(head) + len(header)) % 64) + body


def catalogue_file(content: bytes) -> bytes:
    body = zlib.compress(content)
    return b"NBC1" + crc32(body).to_bytes(4, "little") + body


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "header",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}", b'{"arrays":{},"model":[]}', b'{"arrays":7,"model":{}}',
        b'{"arrays":[7],"model":{}}', b'{"arrays":[{"name":[]}],"model":{}}', DEEP, b'{"model":' + b'{"a":' * 500_000,
        b'{"arrays":[],"model":{"event_types":' + b"9" * 5000 + b"}}",
    ],
    ids=lambda header: repr(header[:24]),
)  # fmt: skip
def test_a_header_that_is_no_header_is_refused(kind: str, header: bytes) -> None:
    with pytest.raises(ArtifactError):
        READERS[kind][1](with_header(header))


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "object"}, {"dtype": "O"}, {"dtype": "U9"}, {"dtype": ["uint8"]}, {"dtype": "complex128"},
        {"shape": [-1]}, {"shape": [2**70]}, {"shape": [2**62, 4]}, {"shape": "7"}, {"shape": [1.0]}, {"shape": None},
        {"shape": [1] * 99}, {"shape": [True]}, {"offset": -1}, {"offset": 2**70}, {"offset": "0"}, {"offset": 1 << 40},
    ],
    ids=repr,
)  # fmt: skip
def test_an_array_that_is_no_array_is_refused(change: dict[str, Any]) -> None:
    entry = {"name": "a", "dtype": "uint8", "shape": [4], "offset": 0, **change}
    header = json.dumps({"arrays": [entry], "model": {}}).encode()
    with pytest.raises(ArtifactError):
        artifact.decode(with_header(header, bytes(64)))


def test_an_overlong_header_is_not_even_read() -> None:
    header = b'{"arrays":[],"model":{"x":[' + b"[]," * (artifact.MAX_HEADER_BYTES // 3) + b"0]}}"
    with pytest.raises(ArtifactError):
        artifact.decode(with_header(header))
    with pytest.raises(ArtifactError, match="at most 16,777,216 are read"):
        artifact.encode({"x": "x" * artifact.MAX_HEADER_BYTES}, {})


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of everything in a JSON value but the report, which nobody computes with."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [path for key, entry in entries if key != "report" for path in paths(entry, (*prefix, key))]
    return [prefix, *inner] if prefix else inner


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def use(value: Any) -> None:
    """Do with what was read what requests do with it."""
    if isinstance(value, Model):
        history = History.from_events([("order", "tea", NOW - 9), ("order", "cake", NOW - 99), ("order", "new", NOW)])
        for allow_repeats in (True, False):
            with np.errstate(all="ignore"):  # weights may be any numbers
                recommend(value, history, now=NOW, limit=10, allow_repeats=allow_repeats)
                if value.goal_effects is not None:
                    effects = value.goal_effects
                    listed = recommend_for_goal(value, effects, history, now=NOW, limit=10, allow_repeats=allow_repeats)
                    impacts_of(value, effects, listed)
    else:
        value.users_of([range(len(value.actions))], 0.0, match_all=False)
        for user in value.users:
            value.memberships(user)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)
ARRAY = st.builds(
    lambda kind, shape, value: np.full(shape, value, kind),
    st.sampled_from(["uint8", "uint16", "int32", "int64", "float32", "float64"]),
    st.lists(st.integers(0, 9), max_size=2),
    st.integers(0, 100),
)


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
@settings(deadline=None)
def test_any_wrong_value_in_the_header_is_refused_or_does_no_harm(kind: str, data: st.DataObject) -> None:
    header, arrays = artifact.decode(READERS[kind][0]())
    path = data.draw(st.sampled_from(paths(header)))
    changed = replaced(header, path, data.draw(JSON))
    whole = artifact.encode({}, arrays)
    size = HEAD.unpack_from(whole)[3]
    entries = json.loads(whole[HEAD.size : HEAD.size + size])["arrays"]
    body = whole[HEAD.size + size + -(HEAD.size + size) % 64 :]
    text = json.dumps({"arrays": entries, "model": changed})
    try:
        read = READERS[kind][1](with_header(text.encode(), body))
    except ArtifactError:
        return
    use(read)


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
@settings(deadline=None)
def test_any_other_array_is_refused_or_does_no_harm(kind: str, data: st.DataObject) -> None:
    header, arrays = artifact.decode(READERS[kind][0]())
    name = data.draw(st.sampled_from(sorted(arrays)))
    file = artifact.encode(header, {**arrays, name: data.draw(ARRAY)})
    try:
        read = READERS[kind][1](file)
    except ArtifactError:
        return
    use(read)


@pytest.mark.parametrize("kind", READERS)
def test_names_that_are_no_names_are_refused(kind: str) -> None:
    header, arrays = artifact.decode(READERS[kind][0]())
    for name in {"asset_ids", "assets", "users"} & arrays.keys():
        for text in (b"[1,2]", b"{}", b"7", b"[[]]", b"\xff", b"", DEEP):
            with pytest.raises(ArtifactError):
                READERS[kind][1](artifact.encode(header, {**arrays, name: np.frombuffer(text, np.uint8)}))


@pytest.mark.parametrize("spoil", [lambda s: s[::-1], lambda s: s - 1, lambda s: s + 1, lambda s: s * 2])
@pytest.mark.parametrize("kind", READERS)
def test_runs_out_of_order_are_refused(kind: str, spoil: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    header, arrays = artifact.decode(READERS[kind][0]())
    names = [name for name in arrays if name.endswith("starts")]
    assert names
    for name in names:
        with pytest.raises(ArtifactError):
            READERS[kind][1](artifact.encode(header, {**arrays, name: spoil(arrays[name])}))


GOOD = Catalogue(7, {"tea": Asset("tea", "Tea", ("hot",), {"VALUE": 3, "TIER": "a|b", "GONE": None, "SHARE": 0.5})})


def test_a_catalogue_written_and_read_is_the_same() -> None:
    assert Catalogue.decode(GOOD.encode()) == GOOD
    assert Catalogue.decode(Catalogue(3).encode()) == Catalogue(3)


def test_a_catalogue_that_expands_is_refused_before_it_does() -> None:
    bomb = zlib.compressobj()
    body = b"".join([bomb.compress(bytes(1 << 20)) for _ in range(100)]) + bomb.flush()
    assert len(body) < 200_000
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="larger than 33,554,432 bytes"):
        Catalogue.decode(b"NBC1" + crc32(body).to_bytes(4, "little") + body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_CONTENT_BYTES


def test_a_catalogue_that_could_not_be_read_is_not_written() -> None:
    with pytest.raises(ArtifactError, match="is not written"):
        Catalogue(1, {"tea": Asset("tea", "x" * MAX_CONTENT_BYTES)}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff", b"null", b"7", b"[]", b"[1]", b"[1,2]", b"[1,[2]]", b"[1,{}]", b'["1",[]]', b"[true,[]]",
        b"[1,[[]]]", b'[1,["abcd"]]', b'[1,[["a","b",[]]]]', b'[1,[["a","b",[],{},0]]]', b'[1,[[1,"b",[],{}]]]',
        b'[1,[["a",null,[],{}]]]', b'[1,[["a","b","cd",{}]]]', b'[1,[["a","b",[1],{}]]]', b'[1,[["a","b",[],[]]]]',
        b'[1,[["a","b",[],{"F":[]}]]]', b'[1,[["a","b",[],{"F":{}}]]]', b'[1,[["a","b",[],{"F":true}]]]',
        b'[1,[[["a"],"b",[],{}]]]', DEEP, b"[1," + DEEP, b"[" + b"9" * 5000 + b",[]]",
    ],
    ids=lambda content: repr(content[:32]),
)  # fmt: skip
def test_a_catalogue_of_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError):
        Catalogue.decode(catalogue_file(content))


@pytest.mark.parametrize("data", [b"", b"NBC1", b"NBC1\0\0\0\0", GOOD.encode()[:-1], b"NBC2" + GOOD.encode()[4:]])
def test_a_catalogue_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        Catalogue.decode(data)
    body = zlib.compress(b"[1,[]]")[:-3]
    with pytest.raises(ArtifactError):
        Catalogue.decode(b"NBC1" + crc32(body).to_bytes(4, "little") + body)
