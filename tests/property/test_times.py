"""Every way to write an instant is read as ``datetime`` reads it; other text gets a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nextbest.domain.events import FUTURE_SKEW_SECONDS
from nextbest.domain.times import format_time, parse_time
from nextbest.errors import InvalidInput

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
NOW_SECONDS = NOW.timestamp()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATETIME = TypeAdapter(datetime)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
WALL_TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2026, 11, 28))  # noqa: DTZ001  # an offset is added
INSTANTS = st.builds(lambda wall, offset: wall.replace(tzinfo=offset), WALL_TIMES, OFFSETS)
FORMATS = [
    "%Y-%m-%d",
    "%Y%m%d",
    "%G-W%V-%u",
    "%GW%V%u",
    "%Y-%j",
    *(f"{date}{separator}{time}{zone}" for date, separator, time, zone in [
        ("%Y-%m-%d", "T", "%H:%M:%S.%f", "%z"),
        ("%Y-%m-%d", " ", "%H:%M:%S.%f", "%:z"),
        ("%Y-%m-%d", "T", "%H:%M:%S,%f", ""),
        ("%Y-%m-%d", " ", "%H:%M:%S", " %z"),
        ("%Y-%m-%d", " ", "%H:%M", "Z"),
        ("%Y-%m-%d", "T", "%H", "%z"),
        ("%Y-%m-%d", " ", "%H:%M:%S", " UTC"),
        ("%Y%m%d", "T", "%H%M%S", "%z"),
        ("%Y%m%d", "T", "%H%M%S.%f", "Z"),
        ("%Y%m%d", "T", "%H%M", ""),
        ("%G-W%V-%u", "T", "%H:%M:%S", "%z"),
        ("%Y-%j", "T", "%H:%M:%S", "%z"),
    ]),
]  # fmt: skip


def microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


@given(INSTANTS)
def test_an_instant_of_datetime_is_that_instant(instant: datetime) -> None:
    assert parse_time(instant.isoformat(), now=NOW_SECONDS) == microseconds(instant)


@pytest.mark.parametrize("form", FORMATS)
@given(instant=INSTANTS)
def test_each_form_is_read_as_datetime_reads_it(form: str, instant: datetime) -> None:
    colon = f"{instant:%z}"[:3] + ":" + f"{instant:%z}"[3:]
    text = instant.strftime(form.replace("%:z", colon))
    with_zone, form_with_zone = text.replace(" UTC", "+0000"), form.replace(" UTC", "%z").replace("%:z", "%z")
    if not form_with_zone.endswith(("%z", "Z")):
        with_zone, form_with_zone = f"{with_zone}+0000", f"{form_with_zone}%z"
    expected = datetime.strptime(with_zone, form_with_zone.replace("Z", "%z")).astimezone(UTC)
    assume(expected >= EPOCH)

    assert parse_time(text, now=NOW_SECONDS) == microseconds(expected)


TIMES_OF_DAY = st.builds(
    "{:02}:{:02}{}{}".format,
    st.integers(0, 24),
    st.integers(0, 60),
    st.sampled_from(["", ":00", ":07", ":59", ":60", ":30.5", ":30,25", ":30.1234567", ":3"]),
    st.sampled_from(["", "Z", "z", "+00:00", "-00:00", "+14:00", "-0930", "\u221205:30", "+1", "+24:00"]),
)


@given(st.dates(date(1969, 12, 1), date(2027, 1, 1)), st.sampled_from("Tt _/"), TIMES_OF_DAY)
def test_what_pydantic_reads_is_that_instant_or_out_of_bounds(day: date, separator: str, time_of_day: str) -> None:
    """FastAPI reads the contract's times with pydantic, so what it takes is taken."""
    text = f"{day}{separator}{time_of_day}"
    try:
        expected = DATETIME.validate_python(text)
    except ValidationError:
        return
    expected = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
    if EPOCH <= expected <= NOW + timedelta(seconds=FUTURE_SKEW_SECONDS):
        assert parse_time(text, now=NOW_SECONDS) == microseconds(expected)
    else:
        with pytest.raises(InvalidInput, match=r"before 1970|24 hours ahead"):
            parse_time(text, now=NOW_SECONDS)


@given(st.integers(100_000_000_000_000, int(NOW_SECONDS * 1_000_000)))
def test_no_microsecond_of_seconds_is_lost(timestamp_us: int) -> None:
    text = f"{timestamp_us // 1_000_000}.{timestamp_us % 1_000_000:06d}"

    assert parse_time(text, now=NOW_SECONDS) == timestamp_us
    assert parse_time(f"{text}E+0", now=NOW_SECONDS) == timestamp_us


@given(st.integers(0, int((NOW_SECONDS + FUTURE_SKEW_SECONDS) * 1_000_000)))
def test_what_is_formatted_is_read_back(timestamp_us: int) -> None:
    assert parse_time(format_time(timestamp_us), now=NOW_SECONDS) == timestamp_us


@given(WALL_TIMES)
def test_a_leap_second_is_the_next_second(wall: datetime) -> None:
    text = f"{wall:%Y-%m-%dT%H:%M}:60Z"

    assert parse_time(text, now=NOW_SECONDS) == parse_time(f"{wall:%Y-%m-%dT%H:%M}:59Z", now=NOW_SECONDS) + 1_000_000


@given(st.one_of(st.text(max_size=30), st.text("0123456789-+:.,TWZeE UTC", max_size=26), st.from_regex(r"[0-9.]+")))
def test_whatever_the_text_the_answer_is_an_instant_within_bounds_or_a_reason(text: str) -> None:
    try:
        timestamp_us = parse_time(text, now=NOW_SECONDS)
    except InvalidInput as refusal:
        assert refusal.field == "timestamp"
    else:
        assert 0 <= timestamp_us <= (NOW_SECONDS + FUTURE_SKEW_SECONDS) * 1_000_000


@given(st.datetimes(datetime(1974, 1, 1), datetime(2026, 11, 28)), st.sampled_from([10**3, 10**6, 10**9]))  # noqa: DTZ001
def test_finer_units_than_seconds_are_always_noticed(wall: datetime, divisor: int) -> None:
    value = int(wall.replace(tzinfo=UTC).timestamp()) * divisor

    with pytest.raises(InvalidInput, match="looks like"):
        parse_time(str(value), now=NOW_SECONDS)
