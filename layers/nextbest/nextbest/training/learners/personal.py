"""Personal: what the user did themselves, with one weight for all actions, and optionally how due each action is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.kernels import Kernel
from nextbest.scoring.model import RepeatTiming
from nextbest.training.build import ModeDraft
from nextbest.training.learners.base import FitTask, Learner, Scores
from nextbest.training.rows import Rows
from nextbest.training.timing import fit_timing, timed_inputs


@dataclass(frozen=True, slots=True)
class Personal(Learner):
    """The user's own inputs. Only their weight is learned; it may be negative, since films are watched once.

    ``timed`` inputs are each multiplied by how due the action is (``nextbest.training.timing``).
    """

    kernel: Kernel
    timed: bool = False

    name: ClassVar[str] = "personal"
    may_oppose: ClassVar[bool] = True

    def __str__(self) -> str:
        return str(self.kernel)

    def scores(self, task: FitTask, rows: Rows) -> Scores:
        """The inputs, times their factors if ``timed``."""
        return self.fit(task).scores(rows, task.columns)

    def fit(self, task: FitTask) -> FittedPersonal:
        """The factors by the time since last, if ``timed``."""
        return FittedPersonal(self, fit_timing(task.context, self.kernel) if self.timed else None)

    def with_timing(self) -> Personal:
        """The same times how due each action is."""
        return replace(self, timed=True)


@dataclass(frozen=True, slots=True)
class FittedPersonal:
    """The user's own inputs, and the factors they are multiplied by: None also where nothing was ever repeated."""

    settings: Personal
    timing: RepeatTiming | None

    def scores(self, rows: Rows, columns: NDArray[np.int64]) -> Scores:
        """The inputs times their factors."""
        kernel, timing = self.settings.kernel, self.timing
        x = rows.inputs(kernel) if timing is None else timed_inputs(rows.table, rows.moments, kernel, timing)
        return np.asarray(x[:, columns].toarray(), np.float32)

    def add_to(self, draft: ModeDraft, weight: float) -> None:
        """Add it to the term of its kernel; if timed, as a term of its own."""
        settings = self.settings
        if settings.timed:
            draft.add_timed(settings.name, settings.kernel, weight, self.timing)
        else:
            draft.add_personal(settings.name, settings.kernel, weight)
