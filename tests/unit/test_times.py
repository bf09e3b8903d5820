"""The rule for times: what is accepted and as which instant, and what is refused and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nextbest.domain.times import format_time, parse_seconds, parse_time
from nextbest.errors import InvalidInput

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "1970-01-01T00:00:00Z"),
        ("1700000000", "2023-11-14T22:13:20Z"),
        ("+1700000000", "2023-11-14T22:13:20Z"),
        ("1700000000.", "2023-11-14T22:13:20Z"),
        ("1700000000.25", "2023-11-14T22:13:20.250000Z"),
        ("1700000000.1234567", "2023-11-14T22:13:20.123457Z"),
        ("1.7e9", "2023-11-14T22:13:20Z"),
        (" 1700000000 ", "2023-11-14T22:13:20Z"),
        ("946684800", "2000-01-01T00:00:00Z"),
        ("2023-11-14", "2023-11-14T00:00:00Z"),
        ("20240221", "2024-02-21T00:00:00Z"),
        ("19700101", "1970-01-01T00:00:00Z"),
        ("2024-W08-3", "2024-02-21T00:00:00Z"),
        ("2024W083", "2024-02-21T00:00:00Z"),
        ("2024-052", "2024-02-21T00:00:00Z"),
        ("2024-366", "2024-12-31T00:00:00Z"),
        ("2023-11-14T22:13:20", "2023-11-14T22:13:20Z"),
        ("2023-11-14 22:13:20Z", "2023-11-14T22:13:20Z"),
        ("2023-11-14t22:13:20z", "2023-11-14T22:13:20Z"),
        ("2023-11-14_22:13:20", "2023-11-14T22:13:20Z"),
        ("2023-11-14T22:13:20\u221201:00", "2023-11-14T23:13:20Z"),
        ("2023-11-14T22", "2023-11-14T22:00:00Z"),
        ("2023-11-14 22:13", "2023-11-14T22:13:00Z"),
        ("20240221T101500Z", "2024-02-21T10:15:00Z"),
        ("20240221T1015", "2024-02-21T10:15:00Z"),
        ("20240221T101500.5+0100", "2024-02-21T09:15:00.500000Z"),
        ("2024-02-21T10:15:00,5", "2024-02-21T10:15:00.500000Z"),
        ("2024-02-21T10:15:00.123456789Z", "2024-02-21T10:15:00.123456Z"),
        ("2023-11-15T00:13:20.5+02:00", "2023-11-14T22:13:20.500000Z"),
        ("2023-11-14 23:13:20 +0100", "2023-11-14T22:13:20Z"),
        ("2023-11-14T22:13:20-00", "2023-11-14T22:13:20Z"),
        ("2024-02-21T10:15:00+05:30:15", "2024-02-21T04:44:45Z"),
        ("2019-10-01 00:00:00 UTC", "2019-10-01T00:00:00Z"),
        ("2019-10-01 UTC", "2019-10-01T00:00:00Z"),
        ("20191001T000000UTC", "2019-10-01T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31 23:59:60.25 UTC", "2017-01-01T00:00:00.250000Z"),
        ("2017-01-01T05:29:60+05:30", "2017-01-01T00:00:00Z"),
        ("20161231T235960", "2017-01-01T00:00:00Z"),
        ("2024-02-21T24:00", "2024-02-22T00:00:00Z"),
        ("2024-02-21T24:00:00.000Z", "2024-02-22T00:00:00Z"),
        ("1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00Z"),
        ("2026-11-29T12:00:00Z", "2026-11-29T12:00:00Z"),
    ],
)
def test_a_time_is_that_instant(text: str, expected: str) -> None:
    assert format_time(parse_time(text, now=NOW)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither seconds since 1970 nor ISO 8601"),
        ("yesterday", "neither seconds since 1970 nor ISO 8601"),
        ("nan", "neither seconds since 1970 nor ISO 8601"),
        ("1_000", "neither seconds since 1970 nor ISO 8601"),
        ("١٧٠٠٠٠٠٠٠٠", "neither seconds since 1970 nor ISO 8601"),
        ("0x1F", "neither seconds since 1970 nor ISO 8601"),
        ("02/21/2024", "neither seconds since 1970 nor ISO 8601"),
        ("21.02.2024", "neither seconds since 1970 nor ISO 8601"),
        ("2024-2-1", "neither seconds since 1970 nor ISO 8601"),
        ("2024-02-21/10:15", "neither seconds since 1970 nor ISO 8601"),
        ("2024-02-21T10:15:00+01:00 UTC", "neither seconds since 1970 nor ISO 8601"),
        ("2024-02-21 10:15:00 CET", "neither seconds since 1970 nor ISO 8601"),
        ("Wed, 21 Feb 2024 10:15:00 GMT", "neither seconds since 1970 nor ISO 8601"),
        ("2024-02-30", "does not exist"),
        ("2024-02-21T25:00", "does not exist"),
        ("2024-02-21T10:61", "does not exist"),
        ("2024-02-21T10:15:61", "does not exist"),
        ("2024-02-21T24:00:01", "does not exist"),
        ("2024-02-21T10:15:00+25:00", "does not exist"),
        ("2023-366", "does not exist"),
        ("2024-000", "does not exist"),
        ("2024-W60-1", "does not exist"),
        ("0000-01-01", "does not exist"),
        ("2024", "a year alone"),
        ("2024.0", "a year alone"),
        ("1999", "a year alone"),
        ("202402", "a year and a month alone"),
        ("202402.0", "a year and a month alone"),
        ("240221", "a date without its century"),
        ("2024052", "a year and a day of the year"),
        ("2024-02", "a month or a week without a day"),
        ("2024-W08", "a month or a week without a day"),
        ("20241345", "eight digits but is not a date"),
        ("21022024", "eight digits but is not a date"),
        ("20240221.0", "looks like a date: write it as text"),
        ("45343", "a spreadsheet's day number"),
        ("45343.427083", "a spreadsheet's day number"),
        ("36526", "a spreadsheet's day number"),
        ("20240221101500", "a date and a time: write a T"),
        ("202402211015", "a date and a time: write a T"),
        ("2027022110", "a date and a time: write a T"),
        ("1700000000000", "milliseconds since 1970: divide by 1,000 to"),
        ("1700000000123.5", "milliseconds since 1970: divide by 1,000 to"),
        ("1.7e12", "milliseconds since 1970: divide by 1,000 to"),
        ("946684800000", "milliseconds since 1970: divide by 1,000 to"),
        ("1700000000000000", "microseconds since 1970: divide by 1,000,000 to"),
        ("1700000000000000000", "nanoseconds since 1970: divide by 1,000,000,000 to"),
        ("4102444800", "more than 24 hours ahead"),
        ("1e400", "more than 24 hours ahead"),
        ("1e999", "more than 24 hours ahead"),
        ("99999999999999999999999999", "more than 24 hours ahead"),
        ("9999-12-31T23:59:59Z", "more than 24 hours ahead"),
        ("9999-12-31T23:59:60Z", "more than 24 hours ahead"),
        ("2026-11-29T12:00:00.000001Z", "more than 24 hours ahead"),
        ("-1", "before 1970"),
        ("-0.5", "before 1970"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("0001-01-01T00:00:00+14:00", "before 1970"),
    ],
)
def test_what_is_no_time_of_an_event_is_refused_with_a_hint(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_time(text, now=NOW, field="event_timestamp")

    assert reason in refusal.value.message
    assert refusal.value.message.startswith("event_timestamp ")
    assert refusal.value.field == "event_timestamp"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
        (Decimal("1e9"), "2001-09-09T01:46:40Z"),
    ],
)
def test_numbers_are_seconds(seconds: Decimal | float, expected: str) -> None:
    assert format_time(parse_seconds(seconds, now=NOW)) == expected


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf")])
def test_a_float_that_is_no_number_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidInput, match="is not a number of seconds"):
        parse_seconds(seconds, now=NOW)


@pytest.mark.parametrize("seconds", [20_240_221, 2024, 45_343, 1_700_000_000_000])
def test_numbers_that_are_no_seconds_are_refused_as_their_text_would_be_or_as_dates(seconds: int) -> None:
    with pytest.raises(InvalidInput, match="looks like"):
        parse_seconds(seconds, now=NOW)
