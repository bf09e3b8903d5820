"""Operating programs: listing and creating them, starting a rebase, telling how far it is, and resetting."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

from nextbest.domain.access_keys import PROGRAM_ID, SCOPES, AccessKey, issue_key
from nextbest.domain.programs import Program
from nextbest.domain.rebase_status import CREATED, FAILED, QUEUED, UNFINISHED, is_lost
from nextbest.errors import InvalidInput, NotFound
from nextbest.logic.segments import files_of
from nextbest.store.base import ArtifactStore, Status, Store


def create_program(store: Store, program: Program, *, master_secret: str, random: Random, now: float) -> str:
    """Create a program and the key that opens it; the key's text, shown only now.

    Raises AlreadyExists, InvalidInput.
    """
    if not PROGRAM_ID.fullmatch(program.program_id):
        raise InvalidInput(
            "program_id must be 1 to 63 letters, digits, '-' or '_', beginning with a letter or digit",
            field="program_id",
        )
    store.create_program(program)
    key, text = issue_key(master_secret, new_key_id(random), programs=(program.program_id,), scopes=SCOPES)
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
    programs = [program for program in store.list_programs() if key.opens(program.program_id)]
    if program_id is None:
        return programs
    programs = [program for program in programs if program.program_id == program_id]
    if not programs:
        raise NotFound("Program not found")
    return programs


def start_rebase(store: Store, start: Callable[[str], None], program_id: str, *, now: float) -> None:
    """Have ``start`` begin a rebase, and record that it is queued."""
    # Recorded before the function starts, so a client that polls at once does not see the last rebase's end.
    store.put_status(Status(program_id, QUEUED, "the rebase waits for its function to start", now))
    start(program_id)


def rebase_status(store: Store, program_id: str, *, now: float) -> Status:
    """How far the program's rebase is; failed, where it fell silent for longer than a rebase can take."""
    status = store.status(program_id)
    if status is None:
        return Status(program_id, CREATED, "the program was never rebased", now)
    silent_seconds = now - status.timestamp
    if status.status_id in UNFINISHED and is_lost(silent_seconds, waiting=status.status_id == QUEUED):
        message = f"the rebase ended without a report; its last was: {status.message}"
        return replace(status, status_id=FAILED, message=message)
    return status


def reset_program(store: Store, artifacts: ArtifactStore, program_id: str) -> int:
    """Forget all that rebases computed; events and assets stay. How many models were removed."""
    store.forget_model(program_id)
    store.forget_segments(program_id)
    removed = artifacts.delete_all(f"models/{program_id}/")
    artifacts.delete_all(files_of(program_id))
    return removed
