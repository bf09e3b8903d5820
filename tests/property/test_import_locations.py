"""Any text as a location: refused with a reason, or read as exactly what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextbest.domain.import_locations import ImportRules, S3Location
from nextbest.errors import InvalidInput

ARTIFACTS, FOLDERS, PROGRAM = "artifacts", "imports", "tea"
RULES = ImportRules(ARTIFACTS, FOLDERS)
PIECES = st.sampled_from(
    [
        *("s3://", "S3://", "http://", "/", "//", ".", "..", ":", "@", "?", "#", "%2e", "%2F", "\\", "[", "]", "*"),
        *(ARTIFACTS, ARTIFACTS.upper(), FOLDERS, PROGRAM, "mate", "tea2", "-s3alias", "arn:aws:s3:", "accesspoint"),
        *("::1", "\x00", "\n", " ", "\uff0f", "\u2024", "\u00e9", "\ud800", "\u202e", "xn--", "127.0.0.1", ":9000"),
    ]
)
ODD = st.one_of(
    st.text(),
    st.text().map("s3://".__add__),
    st.lists(PIECES, max_size=8).map("".join),
    st.lists(PIECES, max_size=5).map(lambda pieces: f"s3://{FOLDERS}/{PROGRAM}/{''.join(pieces)}"),
    st.lists(PIECES, max_size=5).map(lambda pieces: f"s3://{FOLDERS}/{''.join(pieces)}/{PROGRAM}/a.csv"),
)


@given(ODD)
def test_a_location_is_refused_or_means_itself(text: str) -> None:
    try:
        location = S3Location.parse(text)
    except InvalidInput:
        return
    assert str(location) in (text, f"{text}/")
    assert S3Location.parse(str(location)) == location
    assert not {"", ".", ".."} & set(location.key.removesuffix("/").split("/")) or not location.key


@given(ODD)
def test_what_a_program_may_read_begins_with_one_of_its_folders(text: str) -> None:
    by_operator = ("s3://exports/nightly/",)
    try:
        location = S3Location.parse(text)
        RULES.check(location, PROGRAM, by_operator)
    except InvalidInput as error:
        assert ARTIFACTS not in error.message
        return
    assert text.startswith((f"s3://{FOLDERS}/{PROGRAM}/", *by_operator))
    assert ".." not in text.split("/")


@given(ODD)
def test_what_an_operator_may_allow_is_a_folder_outside_the_artifact_bucket(text: str) -> None:
    try:
        folder = RULES.folder(text)
    except InvalidInput:
        return
    assert folder == text
    assert folder.endswith("/")
    assert not folder.startswith(f"s3://{ARTIFACTS}/")


def test_the_odd_locations_are_not_all_refused() -> None:
    for text in (f"s3://{FOLDERS}/{PROGRAM}/é.csv", f"s3://{FOLDERS}/{PROGRAM}/"):
        RULES.check(S3Location.parse(text), PROGRAM, ())
    with pytest.raises(InvalidInput):
        RULES.check(S3Location.parse(f"s3://{FOLDERS}/mate/"), PROGRAM, ())
