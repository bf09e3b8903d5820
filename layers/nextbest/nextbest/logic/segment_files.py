"""The users of a segment as text: ids by line, or CSV with their weights; as one answer, or a file of any size."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from io import StringIO
from itertools import chain, islice

from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError
from nextbest.logic.segments import SegmentMember, SegmentMembers
from nextbest.store.base import ArtifactStore, Store

MAX_ANSWER_BYTES = 5_500_000
"""Lambda answers 6 MB at most."""

MAX_USERS = 5000
"""Of one page: ids of 256 characters of four bytes would just fit."""

PLAIN_TYPE = "text/plain; charset=utf-8"
CSV_TYPE = "text/csv; charset=utf-8; header=present"


FILE_URL_SECONDS = 900
"""How long the URL of a file works: whoever has it needs no key."""

_COLUMNS = ("user_id", "weight", "event_type", "asset_id")


def page_of_members(members: SegmentMembers, *, after: str, limit: int) -> list[SegmentMember]:
    """At most ``limit`` members, of those who come after a user, in order of their ids. Raises ArtifactError."""
    return list(islice(chain.from_iterable(members.in_parts(after=after)), limit))


def segment_text(parts: Iterable[Sequence[SegmentMember]], *, as_csv: bool) -> str | None:
    """The members as CSV, or their ids by line; None where one answer does not hold all."""
    pieces: list[str] = []
    size = 0
    for piece in _pieces(parts, as_csv=as_csv):
        # Lambda escapes line breaks and quotes.
        size += len(piece.encode()) + piece.count("\n") + piece.count("\r") + piece.count('"')
        if size > MAX_ANSWER_BYTES:
            return None
        pieces.append(piece)
    return "".join(pieces)


def segment_url(
    store: Store,
    artifacts: ArtifactStore,
    incarnation: Incarnation,
    members: SegmentMembers,
    *,
    after: str,
    as_csv: bool,
) -> str:
    """Where a file with the members can be downloaded for a while; it is written unless it is there.

    It goes with the version of the segments that it was made of. Raises ArtifactError.
    """
    pointer = store.segments(incarnation)
    if pointer is None:
        raise ArtifactError("the segments were deleted meanwhile")
    query = (members.segments.name, members.groups, members.min_weight, members.match_all, after)
    digest = sha256(repr(query).encode()).hexdigest()[:32]
    key = f"{pointer.prefix}answers/{digest}.{'csv' if as_csv else 'txt'}"
    if not artifacts.names(key):
        pieces = (piece.encode() for piece in _pieces(members.in_parts(after=after), as_csv=as_csv))
        content_type, filename = (CSV_TYPE, "segment.csv") if as_csv else (PLAIN_TYPE, "segment.txt")
        artifacts.put_stream(key, pieces, content_type=content_type, filename=filename)
        if store.segments(incarnation) != pointer:
            # A user may have been deleted, and whoever did so may have looked for files before this one was there.
            artifacts.delete_all(key)
            raise ArtifactError("the segments were replaced meanwhile")
    return artifacts.download_url(key, seconds=FILE_URL_SECONDS)


def _pieces(parts: Iterable[Sequence[SegmentMember]], *, as_csv: bool) -> Iterator[str]:
    if as_csv:
        yield _csv_of([_COLUMNS])
    for members in parts:
        if as_csv:
            yield _csv_of((member.user_id, repr(member.weight), *member.action) for member in members)
        else:
            yield "".join(f"{member.user_id}\n" for member in members)


def to_csv(members: Sequence[SegmentMember]) -> str:
    """The members with their weights as CSV (RFC 4180). Ids stay as they are, whatever spreadsheets make of them."""
    return "".join(_pieces([members], as_csv=True))


def _csv_of(rows: Iterable[Sequence[str]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
