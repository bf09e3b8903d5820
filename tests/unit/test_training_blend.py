"""Validation and the blend, on windows small enough to count by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import sparse

from nextbest.domain.actions import Action
from nextbest.scoring.kernels import Kernel
from nextbest.training.blend import Blend, Part
from nextbest.training.learners import Ease, Learner, Personal, Prior, Scores
from nextbest.training.split import RowKind, Window
from nextbest.training.table import EventTable, Moments, no_entries
from nextbest.training.validation import Validation

WHOLE, VISIT, INSIDE = RowKind.WHOLE, RowKind.VISIT, RowKind.INSIDE
TEN = 10
MANY = 2_000


def validation_of(rows: Sequence[tuple[int, RowKind, Sequence[int]]], actions: int = TEN) -> Validation:
    """A validation over so many ``actions``; each row is its user, its kind, and the actions taken."""
    names = tuple(Action("do", f"a{number}") for number in range(actions))
    nothing = np.zeros(0, np.int64)
    table = EventTable.from_codes([f"u{number}" for number in range(MANY)], names, nothing, nothing, np.zeros(0))
    targets = np.zeros((len(rows), actions), np.float32)
    for row, (_, _, taken) in enumerate(rows):
        targets[row, list(taken)] = 1.0
    users = np.array([user for user, _, _ in rows])
    moments = Moments(users, np.zeros(len(rows), np.int64), np.zeros(len(rows)))
    kinds = np.array([kind for _, kind, _ in rows], np.int8)
    window = Window(table, 0.0, 1.0, moments, sparse.csr_array(targets), no_entries(len(rows), actions), kinds)
    return Validation(window, np.arange(actions), np.zeros(actions, np.float32))


def first(actions: Sequence[int]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Scores that put one action first in each row, and the others in their order behind it."""
    scores = np.tile(-np.arange(TEN, dtype=np.float32), (len(actions), 1))
    scores[np.arange(len(actions)), list(actions)] = 9.0
    return scores


SECOND = 1.0 / np.log2(3.0)


@pytest.mark.parametrize(
    ("kinds", "found", "expected"),
    [
        # The whole, the visits and what happened within them count 2, 2 and 1; rows of a kind share alike.
        ([WHOLE, VISIT, VISIT, INSIDE], [True, True, False, False], ((1 + SECOND) / 2) ** 0.4 * SECOND**0.2),
        ([WHOLE, VISIT], [True, False], SECOND**0.5),
        ([WHOLE, INSIDE], [False, True], SECOND ** (2 / 3)),
        ([VISIT], [True], 1.0),
    ],
    ids=["all kinds", "no row inside", "no row of a visit", "a visit alone"],
)
def test_rows_of_a_user_count_by_their_kind(kinds: list[RowKind], found: list[bool], expected: float) -> None:
    # Given users who always took action 3, and rankings with it in the first place or the second
    validation = validation_of([(user, kind, [3]) for user in range(MANY) for kind in kinds])
    scores = first([3 if hit else 0 for hit in found] * MANY)
    scores[:, 3] = np.maximum(scores[:, 3], 5.0)
    assert validation(scores) == pytest.approx(expected, abs=1e-3)


def test_every_user_counts_once() -> None:
    # Given a thousand users with a window alone, and as many who have two visits in it
    half = MANY // 2
    rows: list[tuple[int, RowKind, Sequence[int]]] = []
    for user in range(half):
        rows += [(user, WHOLE, [3]), *((half + user, kind, [4]) for kind in (WHOLE, VISIT, VISIT))]
    validation = validation_of(rows)
    assert validation.user_count == MANY
    scores = first([3, 0, 0, 0] * half)
    low = 1.0 / np.log2(6.0)
    np.testing.assert_allclose(validation.per_user(scores)[[0, half]], [[1.0, 0.0, 0.0], [low, low, 0.0]])
    # All have a whole, half have visits: two thirds and one third of the value
    assert validation(scores) == pytest.approx(((1.0 + low) / 2) ** (2 / 3) * low ** (1 / 3), abs=1e-3)


def test_a_gain_within_visits_does_not_hide_a_loss_at_their_beginning() -> None:
    # Given many users, and a ranking that tells what is next within visits better than what a visit begins with
    validation = validation_of([(user, kind, [9]) for user in range(MANY) for kind in (VISIT, INSIDE)])

    def ranking(begins: int, within: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return first([9 if user % 10 < hits else 0 for user in range(MANY) for hits in (begins, within)])

    before, after = ranking(3, 4), ranking(1, 9)
    # When more is won within, in plain NDCG, than twice what is lost at the beginning
    (begins, within) = (validation.per_user(after) - validation.per_user(before)).mean(axis=0)[1:]
    assert within > -2.0 * begins > 0.0
    # Then it is a loss: the one lost more of what it had than the other won
    assert validation(after) < validation(before)
    assert not validation.improves(before, after)


def test_a_user_more_does_not_outweigh_what_most_are_told() -> None:
    # Given sixty users, one of whom is told what a visit begins with, and thirty what comes next within one
    validation = validation_of([(user, kind, [9]) for user in range(60) for kind in (VISIT, INSIDE)], actions=TEN + 1)

    def ranking(begins: int, within: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        hits = [user < told for user in range(60) for told in (begins, within)]
        return np.where(np.array(hits)[:, None] == (np.arange(TEN + 1) == 9), 1.0, 0.0).astype(np.float32)

    # When one more is told the one, and eighteen fewer the other
    # Then it is a loss, which in a plain geometric mean it would not be
    assert 2 ** (2 / 3) * 12 ** (1 / 3) > 1 ** (2 / 3) * 30 ** (1 / 3)
    assert validation(ranking(1, 30)) > validation(ranking(2, 12))


def test_rows_without_a_target_do_not_count() -> None:
    validation = validation_of([(1, WHOLE, [3]), (2, WHOLE, [])])
    assert validation.rows.tolist() == [0]


def test_a_gain_of_one_user_among_many_is_chance() -> None:
    # Given sixty users, and a change that helps one of them, or all
    validation = validation_of([(user, WHOLE, [3]) for user in range(60)])
    before, one, everybody = first([0] * 60), first([3] + [0] * 59), first([3] * 60)
    assert not validation.improves(before, one)
    assert validation.improves(before, everybody)
    # And what harms one alone is harmless, what harms all is not
    assert validation.no_worse(one, before, 2.0)
    assert not validation.no_worse(everybody, before, 2.0)


def test_a_part_enters_when_it_pays_and_goes_when_it_does_not() -> None:
    # Given a prior that is right for nobody, personal scores that are right for everybody, and noise
    validation = validation_of([(user, WHOLE, [user % TEN]) for user in range(60)])
    right, noise = first([user % TEN for user in range(60)]), np.random.default_rng(1).random((60, TEN), np.float32)
    flat = np.tile(np.linspace(1.0, 0.0, TEN, dtype=np.float32), (60, 1))
    blend = Blend(validation)
    prior, good, bad = Prior(30.0), Personal(Kernel()), Personal(Kernel(scale=1.0))
    scores: dict[Learner, Scores] = {prior: flat, good: right, bad: noise}
    blend.consider([prior], scores.__getitem__)
    chosen = blend.consider([good, bad], scores.__getitem__)
    assert chosen is not None
    assert chosen.learner == good
    assert blend.consider([bad], scores.__getitem__) is None
    # When noise is there all the same, and the weights are refined
    blend.parts.append(Part(Ease(Kernel(), 1.0), 0.01))
    blend.scores.append(noise)
    blend.refine()
    # Then it goes; the prior stays, for who has no history
    assert [part.learner.name for part in blend.parts] == ["prior", "personal"]
    assert blend.value == pytest.approx(1.0)


def test_of_two_priors_one_may_go() -> None:
    validation = validation_of([(user, WHOLE, [3]) for user in range(60)])
    right, noise = first([3] * 60), np.random.default_rng(1).random((60, TEN), np.float32)
    blend = Blend(validation, [Part(Prior(30.0), 1.0), Part(Prior(3.0, newcomers=True), 1e-3)], [right, noise])
    blend.refine()
    assert [part.learner for part in blend.parts] == [Prior(30.0)]
