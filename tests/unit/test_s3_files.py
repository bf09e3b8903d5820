"""Files of an import in S3: which are read, and what is said of those that cannot be."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from nextbest.aws.s3_files import S3Files
from nextbest.errors import InvalidInput


class Client:
    """As much of an S3 client as is used, over objects by key. S3 itself keeps to the delimiter; this does not."""

    def __init__(self, objects: Mapping[str, bytes] | ClientError) -> None:
        self._objects = objects

    def get_paginator(self, name: str) -> Client:
        assert name == "list_objects_v2"
        return self

    def paginate(self, **arguments: str) -> Iterator[Any]:
        assert (arguments["Bucket"], arguments["Delimiter"]) == ("bucket", "/")
        yield {"Contents": [{"Key": key} for key in self._found() if key.startswith(arguments["Prefix"])]}
        yield {}

    def get_object(self, **arguments: str) -> Any:
        assert arguments["Bucket"] == "bucket"
        return {"Body": io.BytesIO(self._found()[arguments["Key"]])}

    def _found(self) -> Mapping[str, bytes]:
        if isinstance(self._objects, ClientError):
            raise self._objects
        return self._objects


def read(objects: Mapping[str, bytes] | ClientError, key: str) -> Sequence[tuple[str, str]]:
    client: Any = Client(objects)
    return [(name, text.read()) for name, text in S3Files(client).files("bucket", key)]


def test_a_folder_means_its_own_files_and_no_others() -> None:
    objects = {
        key: key.encode() for key in ("tea/", "tea/a.csv", "tea/b.csv", "tea/more/c.csv", "tea//d.csv", "tea2/e.csv")
    }
    assert read(objects, "tea/") == [("tea/a.csv", "tea/a.csv"), ("tea/b.csv", "tea/b.csv")]
    assert read({"top.csv": b"\xef\xbb\xbfx", "tea/a.csv": b""}, "") == [("top.csv", "x")]


def test_a_folder_without_files_says_so() -> None:
    with pytest.raises(InvalidInput, match="there is no file in s3://bucket/tea/"):
        read({"tea/": b"", "tea/more/c.csv": b""}, "tea/")


@pytest.mark.parametrize("key", ["tea/a.csv", "tea/"])
@pytest.mark.parametrize(
    "code",
    ["NoSuchKey", "NoSuchBucket", "AccessDenied", "InvalidObjectState", "PermanentRedirect", "KMS.DisabledException"],
)
def test_what_the_owner_of_the_files_can_put_right_is_said(code: str, key: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "secret words of AWS"}}, "GetObject")
    with pytest.raises(InvalidInput, match=rf"s3://bucket/{key} cannot be read \({code}\)"):
        read(error, key)


def test_what_is_no_fault_of_theirs_is_raised() -> None:
    error = ClientError({"Error": {"Code": "SlowDown", "Message": ""}}, "GetObject")
    with pytest.raises(ClientError):
        read(error, "tea/a.csv")
