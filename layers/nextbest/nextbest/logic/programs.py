"""Operating programs: listing and creating them, starting a rebase, telling how far it is, and resetting."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from nextbest.domain.access_keys import PROGRAM_ID, SCOPES, AccessKey, issue_key
from nextbest.domain.programs import Incarnation, Program, new_incarnation, program_id_of
from nextbest.domain.rebase_status import CREATED, FAILED, QUEUED, RESET, UNFINISHED, is_lost
from nextbest.errors import InUse, InvalidInput, NotFound, ProgramNotFound
from nextbest.logic.segment_writing import files_of
from nextbest.store.base import ArtifactStore, ConfigurationStore, Status, Store


def create_program(store: Store, program: Program, *, master_secret: str, random: Random, now: float) -> str:
    """Create a program and the key that opens it; the key's text, shown only now. It is a new incarnation of its id.

    Raises AlreadyExists, InvalidInput.
    """
    if not PROGRAM_ID.fullmatch(program.program_id):
        raise InvalidInput(
            "program_id must be 1 to 63 letters, digits, '-' or '_', beginning with a letter or digit",
            field="program_id",
        )
    incarnation = new_incarnation(program.program_id, random=random)
    store.create_program(replace(program, incarnation=incarnation, created_at=now))
    key, text = issue_key(master_secret, new_key_id(random), programs=(incarnation,), scopes=SCOPES)
    store.put_access_key(replace(key, name=program.program_name, created_at=now))
    return text


def new_key_id(random: Random) -> str:
    """A fresh key id, in the form of an AWS access key id, so that every SDK takes it."""
    return "NBK" + "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=17))


def program_id_for(name: str, *, random: Random) -> str:
    """A program id made from a name: readable, and with 32 random bits so that names may repeat."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48] or "program"
    return f"{slug}-{random.getrandbits(32):08x}"


def opened_programs(store: Store, key: AccessKey, *, program_id: str | None = None) -> list[Program]:
    """The programs that ``key`` opens, or the one of them named. Raises NotFound for one that it does not open."""
    if program_id is None and key.opens_every_program:
        return store.list_programs()
    if program_id is None:
        program_ids = sorted(map(program_id_of, key.programs))
    else:
        program_ids = [program_id] if key.opens_every_program or key.incarnation_of(program_id) else []
    programs = _opened(store, key, program_ids)
    if not programs and program_id is not None:
        raise NotFound("Program not found")
    return programs


def page_of_programs(store: Store, key: AccessKey, after: str | None, limit: int) -> tuple[list[Program], str | None]:
    """Up to ``limit`` programs that ``key`` opens, with ids after ``after``; and where to go on, None at the end."""
    if key.opens_every_program:
        return store.page_of_programs(after, limit)
    program_ids = sorted(
        program_id for program_id in map(program_id_of, key.programs) if after is None or program_id > after
    )
    last = program_ids[limit - 1] if len(program_ids) > limit else None
    return _opened(store, key, program_ids[:limit]), last


def _opened(store: Store, key: AccessKey, program_ids: Sequence[str]) -> list[Program]:
    """Those of the programs that the key opens. Each is read by itself: what others have costs this caller nothing."""
    states = (store.program_state(program_id) for program_id in program_ids if PROGRAM_ID.fullmatch(program_id))
    return [state.program for state in states if state is not None and key.opens(state.program.incarnation)]


def present_incarnation(store: ConfigurationStore, program_id: str) -> Incarnation:
    """The incarnation that has the program id now. Raises NotFound."""
    state = store.program_state(program_id) if PROGRAM_ID.fullmatch(program_id) else None
    if state is None:
        raise ProgramNotFound(program_id)
    return state.program.incarnation


def present_program(store: ConfigurationStore, incarnation: Incarnation) -> Program:
    """The program that has this incarnation. Raises NotFound once it is deleted."""
    state = store.program_state(program_id_of(incarnation))
    if state is None or state.program.incarnation != incarnation:
        raise ProgramNotFound(program_id_of(incarnation))
    return state.program


def rebase_event(incarnation: Incarnation, **job: str) -> dict[str, str]:
    """What the function ``rebase`` is invoked with for one program; ``job`` is what to do other than to rebase it."""
    return {"program_id": program_id_of(incarnation), "incarnation": incarnation, **job}


def start_rebase(store: Store, start: Callable[[Incarnation], None], incarnation: Incarnation, *, now: float) -> None:
    """Have ``start`` begin a rebase, and record that it is queued, or that it could not be started. Raises NotFound."""
    # Recorded before the function starts, so a client that polls at once does not see the last rebase's end.
    store.put_status(Status(incarnation, QUEUED, "the rebase waits for its function to start", now))
    is_started = False
    try:
        start(incarnation)
        is_started = True
    finally:
        # Where only the response was lost, the rebase itself overwrites this.
        if not is_started:
            store.put_status(Status(incarnation, FAILED, "the rebase could not be started; start it again", now))


def rebase_status(store: Store, incarnation: Incarnation, *, now: float) -> Status:
    """How far the program's rebase is; failed, where it fell silent for longer than a rebase can take."""
    status = store.status(incarnation)
    if status is None:
        return Status(incarnation, CREATED, "the program was never rebased", now)
    silent_seconds = now - status.timestamp
    if status.status_id in UNFINISHED and is_lost(silent_seconds, waiting=status.status_id == QUEUED):
        message = f"the rebase ended without a report; its last was: {status.message}"
        return replace(status, status_id=FAILED, message=message)
    return status


def reset_program(store: Store, artifacts: ArtifactStore, incarnation: Incarnation, *, now: float) -> int:
    """Forget all that rebases computed; events and assets stay. How many models were removed.

    Raises NotFound, and InUse while an experiment runs whose challenger names one of the models.
    """
    state = store.program_state(program_id_of(incarnation))
    for experiment in state.experiments if state is not None else ():
        if experiment.challenger.model_version is not None:
            name, version = experiment.experiment_id, experiment.challenger.model_version
            raise InUse(f"The experiment {name} runs with the model {version}, which a reset removes: stop it first")
    store.forget_model(incarnation)
    store.forget_segments(incarnation)
    removed = artifacts.delete_all(f"models/{incarnation}/")
    artifacts.delete_all(files_of(incarnation))
    store.put_status(Status(incarnation, RESET, "the program was reset: it has no model until the next rebase", now))
    return removed
