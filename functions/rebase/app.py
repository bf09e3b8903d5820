"""Training: invoked by ``manage`` for one program, and by the schedule for all of them."""

from __future__ import annotations

import time
from typing import Any

from nextbest.aws.clients import SERVICE_FAILURES, s3_client
from nextbest.aws.s3_files import S3Files
from nextbest.errors import InvalidInput, NextbestError, Unavailable
from nextbest.logic.rebase import Rebase
from nextbest.observability import logger
from nextbest.personalize.jobs.dataset_import import run_import
from nextbest.personalize.jobs.training import run_version
from nextbest.store.environment import open_artifacts, open_store

STORE = open_store(clock=time.time)
ARTIFACTS = open_artifacts(clock=time.time)


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Lambda's entry point. ``{"program_id": ...}`` rebases one program; anything else, every program with events.

    With ``"solution_version"`` the rebase is recorded as that version of Personalize's control plane, and
    ``{"import_job": ...}`` runs a bulk import of it.

    With ``"only": "segments"`` a program's users are scored with the model that serves, and nothing is learned.
    """
    if "import_job" in event:
        run_import(STORE, S3Files(s3_client()), event["import_job"], clock=time.time)
        return {"import_job": event["import_job"]}
    if "program_id" in event:
        rebase = Rebase(STORE, ARTIFACTS, event["program_id"], clock=time.time)
        if "solution_version" in event:
            trained = run_version(STORE, ARTIFACTS, event["solution_version"], rebase.run, clock=time.time)
            return {"model": trained.version if trained is not None else None}
        if event.get("only") == "segments":
            return {"segments": rebase.refresh_segments().version}
        return {"model": rebase.run().version}
    return {"models": rebase_all()}


def rebase_all() -> dict[str, str]:
    """Rebase every program, those with the oldest models first; the model of each that was.

    One that fails stops no other. Raises Unavailable at the end then, so that Lambda tries again and an alarm sounds.
    """
    states = [STORE.program_state(program.program_id) for program in STORE.list_programs()]
    models, failed = {}, []
    for state in sorted(filter(None, states), key=lambda state: state.model.version if state.model else ""):
        program_id = state.program.program_id
        try:
            models[program_id] = Rebase(STORE, ARTIFACTS, program_id, clock=time.time).run().version
        except InvalidInput as error:  # nothing to learn from yet; its status says so
            logger.info("not rebased", program_id=program_id, reason=error.message)
        except (NextbestError, *SERVICE_FAILURES) as error:
            logger.error("a rebase failed", program_id=program_id, reason=str(error))
            failed.append(program_id)
    if failed:
        raise Unavailable(f"{len(failed)} of {len(states)} programs could not be rebased, {failed[0]} first")
    return models
