"""The one rule for the time of an event, for every way in: text or number to microseconds since 1970, or a clear no.

| given | is |
|---|---|
| `1700000000`, `1700000000.25`, `1.7e9` | seconds since 1970 |
| `2024-02-21`, `20240221`, `2024-W08-3`, `2024-052` | that day at 00:00 |
| `2024-02-21T10:15:00`, `2024-02-21 10:15`, `20240221T101500`, `2024-02-21T10:15:00,5` | that time in UTC |
| `2024-02-21_10:15`, `2024-02-21t10:15` | the same: T, t, a blank or `_` stands between date and time |
| `2024-02-21T10:15:00Z`, `... 10:15:00 UTC`, `...T10:15:00+01:00`, `... 10:15:00 +0100` | that instant |
| `2016-12-31T23:59:60Z`, `2024-02-21T24:00` | a leap second is the next second, hour 24 the next day |
| `1700000000000` | refused: milliseconds (or micro-, nanoseconds) since 1970 |
| `2024`, `202402`, `2024-02`, `2024-W08` | refused: a year, month or week alone |
| `240221`, `2024052` | refused: digits that may be a date |
| `45343`, `45343.427` | refused: a spreadsheet's day number |
| `20240221101500` | refused: date and time without the T |
| `1969-12-31`, `-1`, anything more than 24 hours ahead | refused |

The minus of an offset may be a hyphen or U+2212. Digits after the microsecond are cut from ISO 8601, as ``datetime``
cuts them, and rounded in seconds. Messages name the field and never the value, so that alike faults are worded alike.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from nextbest.domain.events import FUTURE_SKEW_SECONDS, MICROSECONDS
from nextbest.errors import InvalidTime

BEFORE_1970 = "is before 1970"
TOO_LATE = "is more than 24 hours ahead of now"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")
_ISO_8601 = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|[0-9]{4}-W[0-9]{2}-[0-9]|[0-9]{4}W[0-9]{3}|[0-9]{4}-[0-9]{3})"
    r"(?:[Tt _](?P<hour>[0-9]{2})(?:(?P<minute>:?[0-9]{2})(?:(?P<second>:?[0-9]{2})(?P<fraction>[.,][0-9]+)?)?)?"
    r" ?(?P<zone>[Zz]|[+\-\u2212][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)?)?"
    r"(?P<utc> ?UTC)?"
)
_NO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}|[0-9]{4}-?W[0-9]{2}")

_FIRST_YEAR, _LAST_YEAR = 1900, 2100
# Days since 1899-12-30, as spreadsheets count them: 1982 to 2105.
_FIRST_DAY_NUMBER, _LAST_DAY_NUMBER = 30_000, 75_000
_FINER_UNITS = (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
# 1973: no number of seconds, taken for one of a finer unit, falls into the years before.
_EARLIEST_IN_FINER_UNITS = 100_000_000


def parse_time(text: str, *, now: float, field: str = "timestamp") -> int:
    """Microseconds since 1970 of a time as text, by the table above. ``now`` is in seconds since 1970.

    Raises InvalidTime with a message that names the field.
    """
    text = text.strip()
    # Most files have seconds of this century.
    if len(text) == 10 and text.isascii() and text.isdigit() and text[0] != "0" and int(text) <= now:
        return int(text) * MICROSECONDS
    if _NUMBER.fullmatch(text):
        if not (text.isdigit() and len(text) == 8):
            return parse_seconds(Decimal(text), now=now, field=field)
        if _day_of(text) is None:
            raise InvalidTime("has eight digits but is not a date (YYYYMMDD)", field=field)
    timestamp_us = _parse_iso_8601(text, field)
    if timestamp_us < 0:
        raise InvalidTime(BEFORE_1970, field=field)
    if timestamp_us > (now + FUTURE_SKEW_SECONDS) * MICROSECONDS:
        raise InvalidTime(TOO_LATE, field=field)
    return timestamp_us


def parse_seconds(seconds: Decimal | float, *, now: float, field: str = "timestamp") -> int:
    """Microseconds since 1970 of a number of seconds since 1970. Raises InvalidTime as ``parse_time`` does."""
    value = seconds if isinstance(seconds, Decimal) else Decimal(repr(seconds))
    if not value.is_finite():
        raise InvalidTime("is not a number of seconds", field=field)
    if value < 0:
        raise InvalidTime(BEFORE_1970, field=field)
    latest = Decimal(now + FUTURE_SKEW_SECONDS)
    problem = _too_late(value, latest) if value > latest else _not_seconds(value)
    if problem is not None:
        raise InvalidTime(problem, field=field)
    return int((value * MICROSECONDS).to_integral_value())


def format_time(timestamp_us: int) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC, with a fraction where there is one."""
    return (_EPOCH + timedelta(microseconds=timestamp_us)).isoformat().replace("+00:00", "Z")


def _parse_iso_8601(text: str, field: str) -> int:
    match = _ISO_8601.fullmatch(text)
    if match is None or (match["utc"] and match["zone"]):
        if _NO_DAY.fullmatch(text):
            raise InvalidTime("is a month or a week without a day", field=field)
        problem = "is neither seconds since 1970 nor ISO 8601 (such as 2024-02-21T10:15:00Z)"
        raise InvalidTime(problem, field=field)
    hour, minute, second = match["hour"], match["minute"] or "", match["second"] or ""
    extra = timedelta()
    if second.endswith("60"):
        second, extra = f"{second[:-2]}59", timedelta(seconds=1)
    if hour == "24" and not f"{minute}{second}{match['fraction'] or ''}".strip(":.,0"):
        hour, extra = "00", timedelta(days=1)
    time = "" if hour is None else f"T{hour}{minute}{second}{match['fraction'] or ''}{_offset(match['zone'])}"
    try:
        moment = datetime.fromisoformat(f"{_calendar_date(match['date'])}{time}")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH + extra) // _MICROSECOND
    except (ValueError, OverflowError):
        raise InvalidTime("is a date or time that does not exist", field=field) from None


def _offset(zone: str | None) -> str:
    """An offset in the form that ``datetime`` reads; ISO 8601 prefers the minus sign of mathematics."""
    return (zone or "").upper().replace("\u2212", "-")


def _calendar_date(text: str) -> str:
    """An ISO 8601 date in a form that ``datetime`` reads: it reads all but year and day of the year."""
    year, _, day = text.partition("-")
    if len(day) != 3 or not day.isdigit():
        return text
    moment = date(int(year), 1, 1) + timedelta(days=int(day) - 1)
    if moment.year != int(year):
        raise ValueError("no such day of the year")
    return moment.isoformat()


def _not_seconds(value: Decimal) -> str | None:
    """Why a number that could be seconds of the past is something else; None if it is not."""
    if _FIRST_DAY_NUMBER <= value <= _LAST_DAY_NUMBER:
        return "looks like a spreadsheet's day number: (value - 25569) * 86400 is seconds since 1970"
    if value != value.to_integral_value() or value >= 100_000_000:
        return None
    digits = str(int(value))
    if len(digits) == 4 and _FIRST_YEAR <= value <= _LAST_YEAR:
        return "looks like a year alone: a date is needed, such as 2024-02-21"
    if len(digits) == 6 and _day_of(f"{digits}01") is not None:
        return "looks like a year and a month alone: a date is needed, such as 2024-02-21"
    if len(digits) == 6 and _day_of(f"20{digits}") is not None:
        return "looks like a date without its century: YYYYMMDD is needed"
    if len(digits) == 7 and _FIRST_YEAR <= int(digits[:4]) <= _LAST_YEAR and 1 <= int(digits[4:]) <= 366:
        return "looks like a year and a day of the year: write it as 2024-052"
    if len(digits) == 8 and _day_of(digits) is not None:
        return "looks like a date: write it as text, without a decimal point"
    return None


def _too_late(value: Decimal, latest: Decimal) -> str:
    """Why a number is no number of seconds up to ``latest``."""
    if value == value.to_integral_value() and value.adjusted() in (9, 11, 13):
        digits = str(int(value))
        if _day_of(digits[:8]) is not None and int(digits[8:10]) < 24 and max(digits[10:12], digits[12:]) < "60":
            return "looks like a date and a time: write a T between them, such as 20240221T101500"
    for unit, in_a_second in _FINER_UNITS:
        if _EARLIEST_IN_FINER_UNITS * in_a_second <= value <= latest * in_a_second:
            return f"looks like {unit} since 1970: divide by {in_a_second:,} to get seconds"
    return TOO_LATE


def _day_of(digits: str) -> date | None:
    """The day that eight digits name, if they name one from 1900 to 2100."""
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None
    return day if _FIRST_YEAR <= day.year <= _LAST_YEAR else None
