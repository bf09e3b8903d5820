"""Prior: how popular each action is now, with all users or with those who are new to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nextbest.training.build import ModeDraft
from nextbest.training.context import FitContext
from nextbest.training.learners.base import FitTask, Learner, Scores
from nextbest.training.popularity import popularity
from nextbest.training.rows import FitRows, Rows


@dataclass(frozen=True, slots=True)
class Prior(Learner):
    """Users per action, each counted by the age of their last event with it; with ``newcomers`` of their first one,
    which tells what is being discovered from what is merely repeated."""

    half_life_days: float
    newcomers: bool = False

    name: ClassVar[str] = "prior"
    scores_new_users: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"half-life {self.half_life_days:g}d" + (", newcomers" if self.newcomers else "")

    def popularity(self, context: FitContext) -> NDArray[np.float64]:
        """How popular each action is at the time of ``context``, shape (actions,), at most 1."""
        return popularity(context.total(_DecayedUsers(self, context.now))["users"])

    def scores(self, task: FitTask, rows: Rows) -> Scores:
        """The same for every row."""
        return self.fit(task).scores(rows, task.columns)

    def fit(self, task: FitTask) -> FittedPrior:
        """The popularity of every action."""
        return FittedPrior(self.popularity(task.context))


@dataclass(frozen=True, slots=True)
class _DecayedUsers:
    """The decayed users of each action."""

    prior: Prior
    now: float

    def __call__(self, rows: FitRows) -> dict[str, NDArray[np.float64]]:
        prior = self.prior
        return {"users": rows.pairs.decayed_users(prior.half_life_days, self.now, newcomers=prior.newcomers)}


@dataclass(frozen=True, slots=True, eq=False)
class FittedPrior:
    """A prior at one time: ``popularity`` of shape (actions,)."""

    popularity: NDArray[np.float64]

    def scores(self, rows: Rows, columns: NDArray[np.int64]) -> Scores:
        """The same for every row."""
        return np.tile(self.popularity[columns].astype(np.float32), (len(rows), 1))

    def add_to(self, draft: ModeDraft, weight: float) -> None:
        """Add it to the mode's prior."""
        draft.add_prior(weight * self.popularity)
