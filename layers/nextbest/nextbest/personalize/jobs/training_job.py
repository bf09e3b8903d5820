"""What trains a program for one event, in whatever process: the function ``rebase``, or a Spark job.

Both record the same: a solution version, and how its training ended (``jobs/training.py``). Only how their rebases read
the log differs, and those they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import InvalidInput
from nextbest.logic.programs import present_program
from nextbest.logic.rebase import Rebase
from nextbest.logic.training_plan import AUTOMATIC, MANUAL, scheduled_solutions, solution_in_service
from nextbest.observability import MetricUnit, logger, program_metrics
from nextbest.personalize.jobs.training import run_version, train_version
from nextbest.store.base import ArtifactStore, ModelPointer, Store


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Trains programs, each by what ``open_rebase`` opens. ``clock`` gives seconds since 1970."""

    store: Store
    artifacts: ArtifactStore
    open_rebase: Callable[[Incarnation], Rebase]
    random: Random
    clock: Callable[[], float]

    def run(self, event: Mapping[str, str], incarnation: Incarnation) -> dict[str, Any]:
        """Do what ``event`` says, while nothing else trains the program; what came of it. Raises NotFound, and what
        a rebase raises."""
        if event.get("only") == "segments":
            return {"segments": self.open_rebase(incarnation).refresh_segments().version}
        if "solution_version" in event:
            learn = partial(self._learn, incarnation)
            trained = run_version(
                self.store, self.artifacts, incarnation, event["solution_version"], learn, clock=self.clock
            )
            return {"model": trained.version if trained is not None else None}
        if "scheduled" in event:
            return {"models": self._train_scheduled(incarnation)}
        solution = solution_in_service(self.store, present_program(self.store, incarnation))
        return {"model": self.train(incarnation, solution, MANUAL).version}

    def train(self, incarnation: Incarnation, solution: Mapping[str, Any], training_type: str) -> ModelPointer:
        """Rebase one program, as a new version of ``solution``. Raises NotFound, and what a rebase raises."""
        return train_version(
            self.store,
            self.artifacts,
            present_program(self.store, incarnation),
            solution,
            partial(self._learn, incarnation),
            training_type=training_type,
            random=self.random,
            clock=self.clock,
        )

    def _learn(self, incarnation: Incarnation) -> ModelPointer:
        """Rebase the program; logs one line, which records how long it took."""
        began = self.clock()
        model = self.open_rebase(incarnation).run()
        duration = {"RebaseDuration": (self.clock() - began, MetricUnit.Seconds)}
        metrics = program_metrics(duration, now=began, program=program_id_of(incarnation))
        logger.info("rebased", model=model.version, **metrics)
        return model

    def _train_scheduled(self, incarnation: Incarnation) -> list[str]:
        """Train the solutions that a run of the schedule trains; the versions of their models."""
        program = present_program(self.store, incarnation)
        try:
            solutions = scheduled_solutions(self.store, program, now=self.clock())
            return [self.train(incarnation, solution, AUTOMATIC).version for solution in solutions]
        except InvalidInput as error:  # nothing to learn from yet, as its status says: no failure, nothing to try again
            logger.info("not rebased", program_id=program.program_id, reason=error.message)
            return []
