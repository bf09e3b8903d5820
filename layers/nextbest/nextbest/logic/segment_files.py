"""The users of a segment as text: ids by line, or CSV with their weights."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from nextbest.errors import QuotaExceeded
from nextbest.logic.segments import SegmentMember

MAX_ANSWER_BYTES = 5_500_000
"""Lambda answers 6 MB at most."""

MAX_USERS = 5000
"""Of one page: ids of 256 characters of four bytes would just fit."""

PLAIN_TYPE = "text/plain; charset=utf-8"
CSV_TYPE = "text/csv; charset=utf-8; header=present"


def segment_text(members: Sequence[SegmentMember], *, as_csv: bool) -> str:
    """The members as CSV, or their ids by line. Raises QuotaExceeded where one answer does not hold all."""
    text = to_csv(members) if as_csv else "".join(f"{member.user_id}\n" for member in members)
    # Lambda escapes line breaks and quotes.
    if len(text.encode()) + text.count("\n") + text.count("\r") + text.count('"') > MAX_ANSWER_BYTES:
        raise QuotaExceeded(
            f"the segment has {len(members):,} users, more than one answer holds: ask for pages with limit={MAX_USERS} "
            "or less, and send the last user of each page as after of the next until a page has fewer"
        )
    return text


def to_csv(members: Sequence[SegmentMember]) -> str:
    """The members with their weights as CSV (RFC 4180). Ids stay as they are, whatever spreadsheets make of them."""
    text = StringIO()
    rows = csv.writer(text)
    rows.writerow(("user_id", "weight", "event_type", "asset_id"))
    rows.writerows((member.user_id, repr(member.weight), *member.action) for member in members)
    return text.getvalue()
