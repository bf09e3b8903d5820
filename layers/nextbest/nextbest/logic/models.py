"""Which models a program has, and which it serves: the one of its last rebase, or the one before."""

from __future__ import annotations

from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError, InUse, NotFound
from nextbest.observability import logger
from nextbest.scoring import Model
from nextbest.store.base import ArtifactStore, ConfigurationStore, ModelPointer, ProgramState


def pointer_to(incarnation: Incarnation, version: str) -> ModelPointer:
    """Where the model of a version is. All versions stay until the program is reset or deleted."""
    return ModelPointer(version, f"models/{incarnation}/{version}.nbm")


def serve_previous(
    store: ConfigurationStore, artifacts: ArtifactStore, state: ProgramState, version: str
) -> ModelPointer:
    """Serve the model of ``version`` again, which was served before the present one; doing so again undoes it.

    It serves until the next rebase has made a new model. Raises NotFound where no model was served before, and InUse
    where that was another one, or cannot be read.
    """
    serving, previous = state.model, state.previous_model
    if serving is None or previous is None:
        raise NotFound("No model was served before this one")
    if previous.version != version:
        raise InUse("Another model is served meanwhile: load the page again")
    try:
        Model.from_bytes(artifacts.get(previous.key))
    except ArtifactError as error:
        raise InUse(f"The model {version} cannot be read, and so cannot serve: {error.message}") from error
    if not store.exchange_models(state.program.incarnation, serving, previous):
        raise InUse("Another model is served meanwhile: load the page again")
    logger.info("another model serves", program_id=state.program.program_id, model=version, before=serving.version)
    return previous
