"""The alarm before a function's timeout."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from threading import Event

import pytest

from nextbest.errors import Unavailable
from nextbest.web.deadline import RESERVE_SECONDS, in_time

HANGS_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Context:
    """As Lambda's, with this much time left."""

    seconds: float

    def get_remaining_time_in_millis(self) -> int:
        return round(self.seconds * 1000)


@pytest.mark.parametrize("left_seconds", [0.05, -3.0])
def test_what_hangs_is_stopped_before_the_end(left_seconds: float) -> None:
    ended = False
    with pytest.raises(Unavailable), in_time(Context(RESERVE_SECONDS + left_seconds)):
        Event().wait(HANGS_SECONDS)
        ended = True

    assert not ended


def test_nobody_on_the_way_takes_the_alarm_for_an_error_of_theirs() -> None:
    caught: list[Exception] = []

    def tries_for_ever() -> None:
        while True:
            try:
                Event().wait(HANGS_SECONDS)
            except Exception as error:  # noqa: BLE001 - what libraries do, and the alarm has to get past
                caught.append(error)

    with pytest.raises(Unavailable), in_time(Context(RESERVE_SECONDS + 0.05)):
        tries_for_ever()
    assert caught == []


def test_what_is_in_time_hears_no_alarm_later() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with in_time(Context(RESERVE_SECONDS + 0.05)):
        pass

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_without_lambda_there_is_no_end() -> None:
    with in_time(None):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
