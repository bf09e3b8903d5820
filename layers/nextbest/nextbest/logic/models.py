"""Which models a program has, and which it serves: the one of its last rebase, or the one before."""

from __future__ import annotations

from dataclasses import dataclass

from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError, InUse, InvalidInput, NotFound
from nextbest.logic.trainings import Training, trainings_of
from nextbest.observability import logger
from nextbest.scoring import Model
from nextbest.store.base import ArtifactStore, ConfigurationStore, ModelPointer, ProgramState


def pointer_to(incarnation: Incarnation, version: str) -> ModelPointer:
    """Where the model of a version is. All versions stay until the program is reset or deleted."""
    return ModelPointer(version, f"models/{incarnation}/{version}.nbm")


def model_of_version(artifacts: ArtifactStore, incarnation: Incarnation, version: str) -> Model:
    """The model of a version that the program has, whether it serves or not. Raises InvalidInput."""
    try:
        return Model.from_bytes(artifacts.get(pointer_to(incarnation, version).key))
    except ArtifactError as error:
        problem = f"The program has no model {version} that can be read: {error.message}"
        raise InvalidInput(problem, field="model_version") from error


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of the model, and the training that made it where that is recorded; ``began`` is when that began, in
    seconds since 1970.

    ``is_previous``: it served before the one that ``serves``; ``is_newer``: and yet is newer, set aside by hand.
    """

    name: str
    began: float
    training: Training | None
    serves: bool
    is_previous: bool
    is_newer: bool


def versions_of(store: ConfigurationStore, state: ProgramState, *, now: float) -> list[ModelVersion]:
    """Every version that is known: those that serve or did before, and those of recorded trainings; newest first."""
    trainings = trainings_of(store, state.program, now=now)
    by_model: dict[str, Training | None] = {training.model: training for training in trainings if training.model}
    for pointer in (state.model, state.previous_model):
        if pointer is not None:
            by_model.setdefault(pointer.version, None)
    serving, previous = (pointer.version if pointer else "" for pointer in (state.model, state.previous_model))
    return [
        ModelVersion(
            name,
            training.began if training is not None else _began(name),
            training,
            serves=name == serving,
            is_previous=name == previous,
            is_newer=name == previous and name > serving,
        )
        for name, training in sorted(by_model.items(), reverse=True)
    ]


def _began(version: str) -> float:
    """When a version's rebase began, which its name says in milliseconds; 0 where it does not."""
    milliseconds = version.partition("-")[0]
    return int(milliseconds) / 1000 if milliseconds.isdecimal() else 0.0


def serve_previous(
    store: ConfigurationStore, artifacts: ArtifactStore, state: ProgramState, version: str | None
) -> ModelPointer:
    """Serve the model again that was served before the present one; doing so again undoes it.

    A ``version`` that is given has to be that one. It serves until the next rebase has made a new model.

    Raises NotFound where no model was served before, and InUse where that was another one, or cannot be read.
    """
    serving, previous = state.model, state.previous_model
    if serving is None or previous is None:
        raise NotFound("No model was served before this one")
    if version not in (None, previous.version):
        raise InUse("Another model is served meanwhile; look again which one")
    try:
        Model.from_bytes(artifacts.get(previous.key))
    except ArtifactError as error:
        raise InUse(f"The model {previous.version} cannot be read, and so cannot serve: {error.message}") from error
    if not store.exchange_models(state.program.incarnation, serving, previous):
        raise InUse("Another model is served meanwhile; look again which one")
    logger.info(
        "another model serves", program_id=state.program.program_id, model=previous.version, before=serving.version
    )
    return previous
