"""Where files to import may be: locations in S3, and the folders that a program may read.

A location is compared character by character, as S3 compares keys. So whatever another reader could take for something
else is refused when a location is read: no address but ``s3://<bucket>/<key>``, no relative or empty folder names, no
escapes, no look-alikes of separators.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from nextbest.errors import InvalidInput

MAX_IMPORT_LOCATIONS = 20
MAX_KEY_BYTES = 1024
"""S3's limit."""

_SCHEME = "s3://"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_RESERVED_PREFIXES = ("xn--", "sthree-")
# Aliases of access points, and kinds of buckets that S3's ordinary calls do not read.
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_REFUSED = frozenset("?#%\\")
_SEPARATORS = _REFUSED | frozenset("/.:")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A file in S3, or a folder: a key that is empty or ends in ``/``."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Location:
        """The location that ``s3://<bucket>/<key>`` names. Raises InvalidInput, whose message needs a subject."""
        if not text.startswith(_SCHEME):
            raise InvalidInput("must have the form s3://<bucket>/<key>")
        bucket, _, key = text.removeprefix(_SCHEME).partition("/")
        _check_bucket(bucket)
        _check_key(key)
        return cls(bucket, key)

    @property
    def is_folder(self) -> bool:
        return not self.key or self.key.endswith("/")

    def contains(self, other: S3Location) -> bool:
        """Whether this is a folder, and ``other`` it or something within."""
        return self.is_folder and self.bucket == other.bucket and other.key.startswith(self.key)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"


def _check_bucket(bucket: str) -> None:
    if _BUCKET.fullmatch(bucket) is None or ".." in bucket:
        raise InvalidInput(
            "must name a bucket by 3 to 63 lower-case letters, digits, hyphens and single dots: no port, no account, "
            "no ARN"
        )
    if _IP_ADDRESS.fullmatch(bucket) or bucket.startswith(_RESERVED_PREFIXES) or bucket.endswith(_RESERVED_SUFFIXES):
        raise InvalidInput("must name a general purpose bucket: no IP address, access point or alias")


def _check_key(key: str) -> None:
    if not key.isprintable() or not _REFUSED.isdisjoint(key):
        raise InvalidInput("must have a key of printable characters without ?, #, % and \\; nothing is decoded")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidInput(f"must have a key of at most {MAX_KEY_BYTES} bytes")
    if key and not {"", ".", ".."}.isdisjoint(key.removesuffix("/").split("/")):
        raise InvalidInput("must not have an empty folder name, '.' or '..' in its key")
    if not key.isascii() and any(_looks_like_a_separator(character) for character in key):
        raise InvalidInput("must not have a character in its key that looks like a separator, such as a full-width /")


def _looks_like_a_separator(character: str) -> bool:
    return character > "\x7f" and not _SEPARATORS.isdisjoint(unicodedata.normalize("NFKC", character))


@dataclass(frozen=True, slots=True)
class ImportRules:
    """Which folders the programs of a deployment may import from.

    The operator names them, program by program. Where there is a ``program_folders_bucket``, as in local stacks, each
    program may also read the folder of its id there. ``artifact_bucket`` holds the data of all programs, and none may
    read it.
    """

    artifact_bucket: str
    program_folders_bucket: str = ""

    def folders_of(self, program_id: str, by_operator: Iterable[str]) -> tuple[str, ...]:
        """The folders that a program may read, of which the operator named ``by_operator``."""
        own = (f"{_SCHEME}{self.program_folders_bucket}/{program_id}/",) if self.program_folders_bucket else ()
        return tuple(dict.fromkeys((*own, *by_operator)))

    def folder(self, text: str) -> str:
        """``text`` as a folder to name for a program. Raises InvalidInput, whose message needs a subject."""
        location = S3Location.parse(text)
        if not location.is_folder or not text.endswith("/"):
            raise InvalidInput("must end in /: a program may read whole folders")
        if location.bucket == self.artifact_bucket:
            raise InvalidInput("must not be in the artifact bucket, which holds the data of all programs")
        return str(location)

    def check(self, location: S3Location, program_id: str, by_operator: Iterable[str]) -> None:
        """Raise InvalidInput unless the program may read ``location``.

        The answer is the same for a location that does not exist, one of another program, and the artifact bucket.
        """
        folders = self.folders_of(program_id, by_operator)
        allowed = any(S3Location.parse(folder).contains(location) for folder in folders)
        if not allowed or location.bucket == self.artifact_bucket:
            raise InvalidInput(
                f"is not where {program_id} may import from: {', '.join(folders) or 'nowhere yet'}. "
                "The operator of this deployment allows more with PUT /program/import_locations"
            )
