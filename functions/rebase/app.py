"""Training: invoked by ``manage`` for one program, and by the schedule for all of them."""

from __future__ import annotations

import time
from typing import Any

from nextbest.errors import InvalidInput
from nextbest.observability import log
from nextbest.rebasing import Rebase
from nextbest.store.environment import open_artifacts, open_store

STORE = open_store()
ARTIFACTS = open_artifacts()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Lambda's entry point. ``{"program_id": ...}`` rebases one program; anything else, every program with events.

    With ``"only": "segments"`` a program's users are scored with the model that serves, and nothing is learned.
    """
    if "program_id" in event:
        rebase = Rebase(STORE, ARTIFACTS, event["program_id"], clock=time.time)
        if event.get("only") == "segments":
            return {"segments": rebase.refresh_segments().version}
        return {"model": rebase.run().version}
    models = {}
    for program in STORE.list_programs():
        try:
            models[program.program_id] = Rebase(STORE, ARTIFACTS, program.program_id, clock=time.time).run().version
        except InvalidInput as error:  # nothing to learn from yet; its status says so
            log("info", "not rebased", program_id=program.program_id, reason=error.message)
    return {"models": models}
