"""The model that a program serves, as pages show it: also where it cannot be read, or there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextbest.console.visits import Visit
from nextbest.errors import Unavailable
from nextbest.scoring import Model


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that answers now; ``problem`` says in words why it is not the program's current one, or none at all.

    ``version`` is empty and ``model`` None before the first rebase, and where no model can be read.
    """

    version: str = ""
    model: Model | None = None
    assets: int = 0
    problem: str = ""

    @property
    def report(self) -> Mapping[str, Any]:
        """What the model's training reported; empty without a model."""
        return self.model.report if self.model is not None else {}


def served_model(visit: Visit) -> ServedModel:
    """The model that the program serves."""
    state = visit.state
    try:
        catalogue, loaded = visit.services.recommender.loaded(state, now=visit.now)
    except Unavailable:
        return ServedModel(
            problem="The model cannot be read: users get answers from their own history alone, or none. A rebase makes "
            "a new model."
        )
    if loaded is None:
        return ServedModel(assets=len(catalogue.assets))
    version, model = loaded
    problem = ""
    if state.model is not None and version != state.model.version:
        problem = f"The newest model ({state.model.version}) cannot be read: the one before answers, {version}."
    return ServedModel(version, model, len(catalogue.assets), problem)
