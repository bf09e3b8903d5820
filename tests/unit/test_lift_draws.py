"""What exploration drew, as a log to judge a model by that never served."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from nextbest.lift.draws import Draw, logged_choices, pools_of

A, B, C, D = (("TAKEN", name) for name in "abcd")


def draw(user: str, action: tuple[str, str], pool: int, kind: Hashable = "m", time: float = 1.0) -> Draw:
    return Draw(user, time, action, pool, kind)


def test_a_pool_is_known_once_all_of_it_came_up() -> None:
    draws = [
        *[draw("u", A, 2), draw("v", B, 2)] * 4,
        # Not all have come up yet
        *[draw("u", A, 3), draw("u", B, 3)] * 20,
        # Pools of the same size differ by user
        *[draw("u", A, 2, "n"), draw("v", B, 2, "n"), draw("w", C, 2, "n")] * 20,
        # Too few draws to rule out that they do: of seven, one in 64 times all are the same
        *[draw("u", A, 2, "o"), *[draw("v", B, 2, "o")] * 6],
        draw("u", D, 1),
    ]
    assert pools_of(draws) == {("m", 2): (A, B), ("m", 1): (D,)}
    assert pools_of([]) == {}


def test_a_draw_is_held_against_what_the_candidate_would_have_chosen() -> None:
    draws = [draw("u", A, 3), draw("v", B, 3), draw("u", C, 3), draw("x", A, 3), draw("y", D, 4, "n")]
    weights = {"u": [0.1, 0.3, 0.3], "v": [0.1, 0.3, 0.2], "x": [0.0, 0.0, 0.0]}

    choices = logged_choices(
        draws, {("m", 3): (A, B, C)}, [True, True, False, True, True], lambda d, _: weights[d.user]
    )

    # Then what the candidate knows nothing of is left out, as is an unknown pool, and equal weights share the choice
    assert choices.user.tolist() == [0, 1, 0]
    assert choices.reward.tolist() == [1.0, 1.0, 0.0]
    assert choices.propensity == pytest.approx([1 / 3] * 3)
    assert choices.candidate.tolist() == [0.0, 1.0, 0.5]
    assert choices.predicted is not None and choices.predicted.tolist() == [0.1, 0.3, 0.3]
    assert choices.predicted_candidate is not None and choices.predicted_candidate.tolist() == [0.3, 0.3, 0.3]


def test_nothing_is_a_log_of_nothing() -> None:
    assert len(logged_choices([], {}, [], lambda _, pool: [1.0] * len(pool))) == 0
