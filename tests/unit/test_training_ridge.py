"""Closed forms: one result from both sides of the system, and no larger a system than there is to learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.training import ridge
from nextbest.training.context import FitContext
from nextbest.training.learners import Ease, FitTask, ItemLearner, Transitions
from nextbest.training.partitions import OnePartition
from nextbest.training.ridge import ActionSystem, RowSystem, inverse, product_blocks, strongest
from nextbest.training.rows import FitRows
from nextbest.training.sums import system_of
from nextbest.training.table import EventTable
from tests.factories import columns_of_rows

NOW = 400 * DAY_SECONDS


def drawn(rows: int, columns: int, density: float, seed: int) -> sparse.csr_array:
    random = np.random.default_rng(seed)
    return sparse.csr_array(sparse.random(rows, columns, density, random_state=random, dtype=np.float32))


def by_hand(x: sparse.csr_array, y: sparse.csr_array, strength: float) -> tuple[NDArray[np.float64], ...]:
    dense = x.toarray().astype(np.float64)
    inverted = np.linalg.inv(dense.T @ dense + strength * np.eye(dense.shape[1]))
    weights = -inverted / np.diag(inverted)[None, :]
    np.fill_diagonal(weights, 0.0)
    return weights, inverted @ dense.T @ y.toarray()


def product(x: sparse.csr_array, y: sparse.csr_array) -> NDArray[np.float32]:
    blocks = [block for _, block in product_blocks(x, y)]
    return np.vstack([block.toarray() if isinstance(block, sparse.csr_array) else block for block in blocks]).astype(
        np.float32
    )


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Matrices as they are, whatever the events."""

    x: sparse.csr_array
    y: sparse.csr_array | None = None

    @property
    def has_targets(self) -> bool:
        return self.y is not None

    @property
    def columns(self) -> NDArray[np.int64]:
        return np.arange(self.x.shape[1])

    def row_count(self, _context: FitContext) -> int:
        return int(self.x.shape[0])

    def __call__(self, _rows: FitRows) -> tuple[sparse.csr_array, ...]:
        return (self.x,) if self.y is None else (self.x, self.y)


def context_of(rows: list[tuple[str, str, str, float]]) -> FitContext:
    return FitContext(OnePartition(EventTable.of(columns_of_rows(rows), NOW)), NOW, 14.0, cells=1_000_000)


@pytest.mark.parametrize("strength", [0.1, 3.0])
def test_the_systems_of_rows_and_of_actions_have_the_solutions_of_the_definition(strength: float) -> None:
    x, y = drawn(40, 120, 0.1, seed=1), drawn(40, 120, 0.05, seed=2)
    ease, regression = by_hand(x, y, strength)
    for system in (RowSystem.of(x, y), ActionSystem(product(x, x), product(x, y))):
        assert system.ease(strength) == pytest.approx(ease, abs=1e-4)
        assert system.regression(strength) == pytest.approx(regression, abs=1e-4)
        assert system.squares == pytest.approx(np.square(x.toarray()).sum(axis=0), rel=1e-5)


def test_actions_that_nobody_did_have_no_weights() -> None:
    x = sparse.csr_array(np.array([[1.0, 2.0, 0.0, 0.0, 0.0], [0.0] * 5], np.float32))
    system = system_of(context_of([]), Given(x, x))
    assert system.solved_size == 1
    assert not system.ease(1.0)[2:].any()
    assert not system.ease(1.0)[:, 2:].any()
    assert not system.regression(1.0)[2:].any()


@pytest.mark.parametrize(
    ("rows", "columns", "solved"), [(10, 200, 10), (99, 200, 99), (100, 200, 200), (900, 200, 200)]
)
def test_the_smaller_system_is_solved(rows: int, columns: int, solved: int) -> None:
    x = sparse.csr_array(np.ones((rows, columns), np.float32))
    assert system_of(context_of([]), Given(x)).solved_size == solved


@pytest.mark.parametrize("kind", [Ease, Transitions])
def test_one_user_of_many_actions_costs_what_there_is_to_learn(
    kind: type[ItemLearner], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given one user of 3,000 distinct actions and thirty of ten
    random = np.random.default_rng(1)
    events = [("busy", f"a{number}") for number in range(3000)]
    events += [(f"u{user}", f"a{number}") for user in range(30) for number in random.integers(3000, size=10).tolist()]
    rows = [(user, "do", asset, NOW - DAY_SECONDS * 300 * float(random.random())) for user, asset in events]
    context = context_of(rows)
    solved: list[int] = []

    def counted(gram: NDArray[ridge.Float], strength: float) -> NDArray[ridge.Float]:
        solved.append(len(gram))
        return inverse(gram, strength)

    monkeypatch.setattr(ridge, "inverse", counted)
    # When weights are solved for all of its actions
    weights = kind(Kernel(scale=30.0), 1.0).solve(FitTask(context, context.head(3000), True, per_action=200))
    # Then the system solved is of the users, or of the moments to learn from: 60 of the busy one and 9 of each other
    assert weights.shape == (3000, 3000)
    assert len(solved) == 1
    assert solved[0] <= 60 + 30 * 9


def test_what_moves_scores_most_is_left_of_the_weights() -> None:
    # Given an action that everybody does, with small weights, and one that hardly anybody does, with large ones
    weights = np.array([[0.4, -0.5, 0.1, 0.3, 0.0, 0.2], [4.0, 1.0, -5.0, 2.0, 3.0, 0.5]], np.float32)
    left = strongest(weights, 1, np.array([100.0, 1.0], np.float32))
    # Then one is left of each on average, and the frequent action has them
    assert left.toarray() == pytest.approx(np.array([[0.4, -0.5, 0, 0, 0, 0], [0] * 6], np.float32))


@pytest.mark.parametrize("per_row", [1, 7, 16, 39, 40])
def test_weights_are_as_many_as_the_artifact_has_room_for(per_row: int) -> None:
    random = np.random.default_rng(per_row)
    weights = random.normal(size=(30, 40)).astype(np.float32)
    left = strongest(weights, per_row, random.random(30).astype(np.float32))
    counts = np.diff(left.indptr)
    assert left.nnz == 30 * per_row
    assert counts.min() >= per_row // 6
    assert counts.max() <= 3 * per_row
    # And of each row the largest
    for row, count in enumerate(counts.tolist()):
        largest = np.sort(np.argsort(-np.abs(weights[row]))[:count])
        assert left.indices[left.indptr[row] : left.indptr[row + 1]].tolist() == largest.tolist()
