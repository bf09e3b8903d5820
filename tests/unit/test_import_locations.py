"""Where imports may read: how a location is read, and which folders a program may read."""

from __future__ import annotations

import pytest

from nextbest.domain.import_locations import MAX_KEY_BYTES, ImportRules, S3Location
from nextbest.errors import InvalidInput

RULES = ImportRules("artifacts")
LOCAL = ImportRules("artifacts", program_folders_bucket="imports")


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://bucket/key", "bucket", "key"),
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-7/dt=2026-11-28/a b+c@d.csv", "my.bucket-7", "dt=2026-11-28/a b+c@d.csv"),
        ("s3://bucket/données/日本/...", "bucket", "données/日本/..."),
        (f"s3://{'b' * 63}/{'k' * MAX_KEY_BYTES}", "b" * 63, "k" * MAX_KEY_BYTES),
    ],
)
def test_a_location_is_a_bucket_and_a_key(text: str, bucket: str, key: str) -> None:
    assert S3Location.parse(text) == S3Location(bucket, key)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *[
            (text, "must have the form s3://<bucket>/<key>")
            for text in ("", "s3:", "s3:/bucket/key", "S3://bucket/key", "https://bucket/key", " s3://bucket/key",
                         "arn:aws:s3:us-east-1:123456789012:accesspoint/mine/object/key")
        ],
        *[
            (f"s3://{bucket}/key", "must name a bucket by 3 to 63 lower-case letters")
            for bucket in ("", "ab", "b" * 64, "Bucket", "bucket_1", "-bucket", "bucket-", ".bucket", "bucket.",
                           "my..bucket", "bucket:9000", "user@bucket", "user:secret@bucket", "[::1", "[::1]",
                           "buck%65t", "bücket", "\uff42ucket", "bucket?x", "bucket#x", "bucket\\x", "bucket ",
                           "bucket\n", "arn:aws:s3:::bucket")
        ],
        *[
            (f"s3://{bucket}/key", "must name a general purpose bucket")
            for bucket in ("192.168.5.4", "xn--bucket", "sthree-bucket", "mine-s3alias", "mine--ol-s3", "mine.mrap",
                           "mine--use1-az4--x-s3", "mine--table-s3")
        ],
        *[
            (f"s3://bucket/{key}", "must have a key of printable characters")
            for key in ("a?b", "a#b", "a%2fb", "%2e%2e/b", "a\\b", "a\x00b", "a\nb", "a\x7fb", "\ud800", "a\u202eb",
                        "a\u200bb", "a\u2028b")
        ],
        *[
            (f"s3://bucket/{key}", "must not have an empty folder name")
            for key in ("/", "/a", "a//b", "a//", ".", "..", "./a", "../a", "a/..", "a/../b", "a/./b", "a/../")
        ],
        *[
            (f"s3://bucket/{key}", "looks like a separator")
            for key in ("a\uff0fb", "\u2025/b", "\u2024\u2024/b", "\u2026/b", "a\uff052fb", "a\uff3cb", "a\uff1ab")
        ],
        (f"s3://bucket/{'k' * (MAX_KEY_BYTES + 1)}", "at most 1024 bytes"),
        (f"s3://bucket/{'é' * (MAX_KEY_BYTES // 2 + 1)}", "at most 1024 bytes"),
    ],
)  # fmt: skip
def test_whatever_could_be_taken_for_something_else_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        S3Location.parse(text)


@pytest.mark.parametrize(
    ("folder", "location", "is_within"),
    [
        ("s3://b-1/tea/", "s3://b-1/tea/", True),
        ("s3://b-1/tea/", "s3://b-1/tea/a.csv", True),
        ("s3://b-1/tea/", "s3://b-1/tea/more/", True),
        ("s3://b-1/", "s3://b-1", True),
        ("s3://b-1/", "s3://b-1/tea/a.csv", True),
        ("s3://b-1/tea/", "s3://b-1/tea", False),
        ("s3://b-1/tea/", "s3://b-1/tea2/a.csv", False),
        ("s3://b-1/tea/", "s3://b-1/Tea/a.csv", False),
        ("s3://b-1/tea/", "s3://b-1/", False),
        ("s3://b-1/tea/", "s3://b-12/tea/a.csv", False),
        ("s3://b-1/tea", "s3://b-1/tea/a.csv", False),
        ("s3://b-1/té/", "s3://b-1/te\u0301/a.csv", False),
    ],
)
def test_a_prefix_is_a_whole_folder(folder: str, location: str, is_within: bool) -> None:
    assert S3Location.parse(folder).contains(S3Location.parse(location)) is is_within


def test_a_program_may_read_nothing_until_the_operator_says_so() -> None:
    with pytest.raises(
        InvalidInput, match=r"may import from: nowhere yet\. The operator .* PUT /program/import_locations"
    ):
        RULES.check(S3Location("bucket", "tea/a.csv"), "tea", ())
    RULES.check(S3Location("bucket", "tea/a.csv"), "tea", ("s3://other/", "s3://bucket/tea/"))
    with pytest.raises(InvalidInput, match=r"tea may import from: s3://bucket/tea/\. The operator"):
        RULES.check(S3Location("bucket", "mate/a.csv"), "tea", ("s3://bucket/tea/",))


def test_in_a_local_stack_each_program_may_read_its_own_folder() -> None:
    LOCAL.check(S3Location("imports", "tea/a.csv"), "tea", ())
    assert LOCAL.folders_of("tea", ("s3://bucket/",)) == ("s3://imports/tea/", "s3://bucket/")
    for key in ("mate/a.csv", "tea", "tea2/a.csv", ""):
        with pytest.raises(InvalidInput, match="s3://imports/tea/"):
            LOCAL.check(S3Location("imports", key), "tea", ())


def test_the_artifact_bucket_is_refused_whatever_is_allowed() -> None:
    with pytest.raises(InvalidInput):
        RULES.check(S3Location("artifacts", "models/tea/1.nbm"), "tea", ("s3://artifacts/",))
    with pytest.raises(InvalidInput):
        ImportRules("artifacts", "artifacts").check(S3Location("artifacts", "tea/a.csv"), "tea", ())
    with pytest.raises(InvalidInput, match="artifact bucket"):
        RULES.folder("s3://artifacts/tea/")


@pytest.mark.parametrize("text", ["s3://bucket", "s3://bucket/tea", "tea/", "s3://bucket/*/", "s3://bucket/../"])
def test_only_whole_folders_can_be_allowed(text: str) -> None:
    if text == "s3://bucket/*/":
        assert RULES.folder(text) == text  # a folder of that name, and of no other
        return
    with pytest.raises(InvalidInput):
        RULES.folder(text)
