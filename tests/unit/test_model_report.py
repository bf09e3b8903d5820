"""What a report says in words."""

from __future__ import annotations

import pytest

from nextbest.logic.model_report import better, daily_events, quality_of

REPORT = {
    "tuning_window_days": 9.0,
    "modes": {
        "repeats": {
            "ndcg_at_10": 0.5,
            "judged_users": 40,
            "held_out": {"ndcg_at_10": 0.6},
            "classic_ndcg_at_10": {
                "most_popular": 0.4,
                "done_last": 0.5,
                "done_most_often": 0.3,
                "popular_lately": 0.0,
            },
            "parts": [
                {"part": "prior", "setting": "prior (30 days)", "weight": 1.0, "timed": False, "ndcg_without": 0.4},
                {"part": "personal", "setting": "personal", "weight": 2.0, "timed": True, "ndcg_without": 0.5},
                {"part": "personal", "setting": "personal (rank)", "weight": 3.0, "timed": False, "ndcg_without": 0.5},
            ],
            "ndcg_without": {"prior": 0.4, "personal": 0.1},
            "calibration": {
                "expected_calibration_error": 0.01,
                "table": [{"pairs": 10, "predicted": 0.1, "observed": 0.2}],
            },
        }
    },
}


def test_quality_is_said_against_the_most_popular_list_and_the_best_other_method() -> None:
    quality = quality_of(REPORT, "repeats")

    assert quality.summary == (
        "Its lists rank 50 % better than the most popular list, and 20 % better than the best other classic method, "
        "what each user did last."
    )
    assert [round(part.loss or 0.0, 3) for part in quality.parts] == [0.2, 0.8]
    assert [setting.weight for setting in quality.parts[1].settings] == [2.0, 3.0]
    assert quality.parts[1].part == "what the user did themselves, and when it is due"
    # Nothing is a share of zero better.
    assert {comparison.method for comparison in quality.comparisons if comparison.gain is None} == {
        "what was popular lately"
    }


@pytest.mark.parametrize("report", [{}, {"modes": {}}, {"modes": {"repeats": {"held_out": {}, "parts": []}}}])
def test_a_report_of_before_says_nothing(report: dict[str, object]) -> None:
    quality = quality_of(report, "repeats")

    assert (quality.ndcg, quality.summary, list(quality.calibration)) == (None, "", [])
    assert daily_events(report) is None


@pytest.mark.parametrize(
    ("gain", "words"), [(0.341, "34 % better"), (-0.05, "5 % worse"), (0.004, "no better"), (12.0, "1,200 % better")]
)
def test_gains_are_said_in_per_cent(gain: float, words: str) -> None:
    assert better(gain) == words


def test_daily_events_have_a_row_a_day() -> None:
    counted = {"first_day": 86_400, "event_types": {"order": [1, 2], "view": [0, 3]}, "others": [4, 0]}

    events = daily_events({"events_a_day": counted})

    assert events is not None
    assert events.columns == ["order", "view", "all others"]
    assert events.rows == [(86_400, 1, 0, 4), (172_800, 2, 3, 0)]
