"""What the parts of a score have in common.

A ``Learner`` holds the settings of one part: a frozen value that can be compared and hashed. ``fit`` learns from a
``FitContext`` and gives a ``Fitted``, which scores users and goes into the model; ``scores`` is fit and score in one
for the search, on few actions and with nothing truncated.

    Prior          how popular each action is now
    Personal       what the user did, optionally times how due each action is
    Ease           what is done together                                item weights
    Transitions    what came next                                       item weights
    Neighbours     shrunk cosine between actions                        item weights
    SameAsset      what an event type leads to with the same asset      item weights

Item weights are solved in closed form on the most frequent actions alone where there are many (``FitTask.columns``);
rarer actions are left to the neighbours, the prior and the user's own weights.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import Kernel
from nextbest.training.build import ModeDraft, rounded
from nextbest.training.context import FitContext
from nextbest.training.ridge import Dense, strongest
from nextbest.training.rows import Rows
from nextbest.training.sums import UsersNow, squares_of

Scores = NDArray[np.float32]
"""Shape (rows, columns): a row for each moment, a column for each action ranked."""
_STRONGER = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class FitTask:
    """What to fit: the events of ``context``, for the actions ``columns`` (indices, ascending) in one mode, with at
    most ``per_action`` item weights of each action where they are truncated."""

    context: FitContext
    columns: NDArray[np.int64]
    allow_repeats: bool
    per_action: int


class Fitted(Protocol):
    """A learner that was fitted, as it is served."""

    def scores(self, rows: Rows, columns: NDArray[np.int64]) -> Scores:
        """Scores of the actions ``columns`` for ``rows``."""
        ...

    def add_to(self, draft: ModeDraft, weight: float) -> None:
        """Add it to a mode with a weight."""
        ...


class Learner(Protocol):
    """The settings of one part of a score. What is given here holds for learners that do not say otherwise."""

    name: ClassVar[str]
    """What the report calls it."""
    has_item_weights: ClassVar[bool] = False
    """Whether it learns item weights, which are served rounded. A blend may hold several settings of one such learner:
    they stand for their mean."""
    is_truncated: ClassVar[bool] = False
    """Whether each action's weakest item weights are left out to serve it."""
    spans_catalogue: ClassVar[bool] = False
    """Whether it has item weights for all actions of the catalogue, and not only for the most frequent."""
    may_oppose: ClassVar[bool] = False
    """Whether its weight in the blend may be negative."""
    scores_new_users: ClassVar[bool] = False
    """Whether it also scores users without a history."""

    @property
    def timed(self) -> bool:
        """Whether it uses the time since an action was last taken."""
        return False

    @abstractmethod
    def scores(self, task: FitTask, rows: Rows) -> Scores:
        """Fit and score the columns of ``task``, nothing truncated.

        ``rows`` have the users and actions of the context, and may point to events after it.
        """

    @abstractmethod
    def fit(self, task: FitTask) -> Fitted:
        """Fit for the whole catalogue, as it is served; ``task.columns`` are what closed forms are solved for."""

    def stronger(self) -> Learner:
        """The same with its ridge raised by a step; itself where it has none."""
        return self

    def truncated_rows(self, action_count: int, head: int) -> int:
        """How many rows of item weights it truncates, in a catalogue of ``action_count`` with closed forms for ``head``
        actions: the artifact's size is shared among them."""
        if not self.is_truncated:
            return 0
        return action_count if self.spans_catalogue else head

    def with_timing(self) -> Learner | None:
        """The same times how due each action is; None where that has no meaning."""
        return None


@dataclass(frozen=True, slots=True)
class ItemWeights:
    """Fitted item weights: score = x · W, with ``weights`` of shape (actions, actions)."""

    name: str
    kernel: Kernel
    weights: sparse.csr_array

    def scores(self, rows: Rows, columns: NDArray[np.int64]) -> Scores:
        """Inputs times weights."""
        scores = sparse.csr_array(rows.inputs(self.kernel) @ self.weights)
        return np.asarray(scores[:, columns].toarray(), np.float32)

    def add_to(self, draft: ModeDraft, weight: float) -> None:
        """Add the weighted matrix."""
        draft.add_item_weights(self.name, self.kernel, sparse.csr_array(self.weights * np.float32(weight)))


@dataclass(frozen=True, slots=True)
class ItemLearner(Learner):
    """A learner of item weights over inputs of ``kernel``.

    ``ridge`` is relative to the mean of the diagonal of XᵀX over the most frequent actions, unless the learner says
    otherwise. ``FIRST_…`` and ``SEARCHED_KERNELS`` say where the search for its settings begins.
    """

    kernel: Kernel
    ridge: float

    has_item_weights: ClassVar[bool] = True
    is_truncated: ClassVar[bool] = True
    needs_examples: ClassVar[bool] = False
    """Whether it learns from what came next, and so only where somebody came back."""

    FIRST_RIDGE: ClassVar[float]
    FIRST_SHARE: ClassVar[float] = 0.0
    SEARCHED_KERNELS: ClassVar[int | None] = None
    """How many kernels the search tries; None: as many as its effort allows."""

    def __str__(self) -> str:
        return f"{self.name} ({self.kernel}, ridge {self.ridge:g})"

    @classmethod
    def can_learn(cls, context: FitContext) -> bool:
        """Whether ``context`` holds what it learns from."""
        return not cls.needs_examples or context.example_count > 0

    @abstractmethod
    def solve(self, task: FitTask) -> Dense | sparse.csr_array:
        """All weights among the columns, shape (columns, columns)."""

    def weights(self, task: FitTask) -> sparse.csr_array:
        """The strongest weights of each action over the whole catalogue, shape (actions, actions)."""
        size = len(task.context.actions)
        spread = np.sqrt(squares_of(task.context, UsersNow(self.kernel, task.columns)))
        solved = sparse.coo_array(strongest(np.asarray(self.solve(task)), task.per_action, spread))
        entries = (solved.data, (task.columns[solved.row], task.columns[solved.col]))
        return sparse.csr_array(sparse.coo_array(entries, shape=(size, size)))

    def scores(self, task: FitTask, rows: Rows) -> Scores:
        """Inputs times the weights solved for the columns."""
        scores = sparse.csr_array(rows.inputs(self.kernel)[:, task.columns]) @ self.solve(task)
        return np.asarray(scores.toarray() if isinstance(scores, sparse.csr_array) else scores, np.float32)

    def fit(self, task: FitTask) -> ItemWeights:
        """The weights, truncated and rounded as the artifact holds them."""
        return ItemWeights(self.name, self.kernel, rounded(self.weights(task)))

    def stronger(self) -> Self:
        """The same with its ridge raised by a step."""
        return replace(self, ridge=self.ridge * _STRONGER)
