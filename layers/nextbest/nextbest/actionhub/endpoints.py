"""What each endpoint of the ``manage`` function does: typed input in, the body of the answer out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from nextbest.actionhub import inputs, responses
from nextbest.actionhub.calls import Call, Deployment, KeyCall
from nextbest.actionhub.errors import PROGRAM_NOT_FOUND, USER_NOT_FOUND
from nextbest.actionhub.key_endpoints import get_keys, post_keys, revoke_key, rotate_key
from nextbest.actionhub.rights_endpoints import delete_user, export_user
from nextbest.actionhub.routes import Route
from nextbest.actionhub.segment_endpoints import get_segment, get_segments
from nextbest.domain.assets import Asset
from nextbest.domain.events import to_microseconds
from nextbest.domain.programs import Program
from nextbest.domain.rebase_status import FAILED, QUEUED, UNFINISHED, is_lost
from nextbest.errors import NotFound
from nextbest.logic import programs as program_logic
from nextbest.logic.authorization import SecretCredentials, require_operator
from nextbest.logic.segments import files_of
from nextbest.store.base import Status

USERS_TO_CHOOSE_FROM = 100


def get_user_events(call: Call) -> object:
    events = list(call.deployment.store.events_of(call.program_id, call.asked.user_id))
    if not events:
        raise NotFound(USER_NOT_FOUND)
    return responses.user_history(events, call.catalogue.assets)


def get_user_labels(call: Call) -> object:
    events = list(call.deployment.store.events_of(call.program_id, call.asked.user_id))
    return responses.user_labels(program_logic.label_weights(call.state, call.catalogue, events, now=call.now))


def rebase_user(call: Call) -> object:
    if not call.deployment.store.rebuild_history(call.state.program, call.asked.user_id):
        raise NotFound(USER_NOT_FOUND)
    return responses.result(f"user {call.asked.user_id} was recalculated from the event log")


def get_random_user_id(call: Call) -> object:
    users = list(islice(call.deployment.store.users(call.program_id), USERS_TO_CHOOSE_FROM))
    if not users:
        raise NotFound(USER_NOT_FOUND)
    return call.deployment.random.choice(users)


def get_assets(call: Call) -> object:
    found = [asset for asset in call.catalogue if _mentions(call.asked.search, asset)]
    found.sort(key=lambda asset: asset.asset_id)
    return _page(call.asked, [responses.asset(asset) for asset in found])


def _mentions(search: str, asset: Asset) -> bool:
    wanted = search.casefold()
    return any(wanted in text.casefold() for text in (asset.asset_id, asset.asset_name, *asset.labels))


def post_assets(call: Call) -> object:
    catalogue = call.catalogue
    changed = []
    for change in call.asked.assets:
        old = catalogue.assets.get(change.asset_id, Asset(change.asset_id))
        name = old.asset_name if change.asset_name is None else change.asset_name
        labels = old.labels if change.labels is None else change.labels
        changed.append(replace(old, asset_name=name, labels=labels))
    call.deployment.store.put_assets(call.program_id, changed)
    return responses.result(f"stored {len(changed)} assets")


def get_labels(call: Call) -> object:
    weights = {label: 1.0 for asset in call.catalogue for label in asset.labels} | dict(call.state.label_weights)
    wanted = call.asked.search.casefold()
    labels = [inputs.LabelWeight(label, weights[label]) for label in sorted(weights) if wanted in label.casefold()]
    return _page(call.asked, [responses.label(label) for label in labels])


def put_labels(call: Call) -> object:
    weights = {label.label: label.weight for label in call.asked.labels}
    call.deployment.store.put_label_weights(call.program_id, weights)
    return responses.result(f"stored {len(weights)} labels")


def _page(asked: Any, entries: list[dict[str, Any]]) -> object:
    start = (asked.page - 1) * asked.size
    return responses.page(entries[start : start + asked.size], total=len(entries), page=asked.page, size=asked.size)


def get_program(call: Call) -> object:
    return responses.program(call.state.program)


def put_program(call: Call) -> object:
    call.deployment.store.update_program(_program(call.program_id, call.asked.settings, call.state.program))
    return responses.result(f"program {call.program_id} was changed")


def _program(program_id: str, settings: inputs.ProgramSettings, old: Program) -> Program:
    return replace(
        old,
        program_id=program_id,
        program_name=settings.program_name,
        description=settings.description,
        half_life_days=settings.event_relevance_decay,
        high_engagement_threshold=settings.high_engagement_threshold,
        action_weight_floor=settings.action_weight_floor,
    )


def rebase_program(call: Call) -> object:
    # Recorded before the function starts, so a client that polls at once does not see the last rebase's end.
    status = Status(call.program_id, QUEUED, "the rebase waits for its function to start", call.now)
    call.deployment.store.put_status(status)
    call.deployment.start_rebase(call.program_id)
    return responses.result(f"the rebase of program {call.program_id} was started; GET /program/status tells its end")


def get_program_status(call: Call) -> object:
    status = call.deployment.store.status(call.program_id)
    if status is None:
        status = Status(call.program_id, "program_created", "the program was never rebased", call.now)
    silent_seconds = call.now - status.timestamp
    if status.status_id in UNFINISHED and is_lost(silent_seconds, waiting=status.status_id == QUEUED):
        message = f"the rebase was ended without a word; its last was: {status.message}"
        status = replace(status, status_id=FAILED, message=message)
    return responses.program_status(
        program_id=call.program_id,
        status_id=status.status_id,
        message=status.message,
        logged_us=to_microseconds(status.timestamp),
    )


def reset_program(call: Call) -> object:
    call.deployment.store.forget_model(call.program_id)
    call.deployment.store.forget_segments(call.program_id)
    removed = call.deployment.artifacts.delete_all(f"models/{call.program_id}/")
    call.deployment.artifacts.delete_all(files_of(call.program_id))
    return responses.result(f"removed {removed} models of program {call.program_id}; events and assets stay")


def get_programs(call: KeyCall) -> object:
    programs = [program for program in call.deployment.store.list_programs() if call.key.opens(program.program_id)]
    if call.asked.program_id is not None:
        programs = [program for program in programs if program.program_id == call.asked.program_id]
        if not programs:
            raise NotFound(PROGRAM_NOT_FOUND)
    return responses.programs(programs)


def post_programs(call: KeyCall) -> object:
    require_operator(call.key)
    deployment, settings = call.deployment, call.asked.settings
    program_id = settings.program_id or program_logic.program_id_for(settings.program_name, random=deployment.random)
    text = program_logic.create_program(
        deployment.store,
        _program(program_id, settings, Program(program_id)),
        master_secret=deployment.master_secret,
        random=deployment.random,
        now=call.now,
    )
    return responses.program_key(api_key=text, program_id=program_id)


ABOUT_A_PROGRAM: Mapping[str, Callable[[Call], object]] = {
    endpoint.__name__: endpoint
    for endpoint in (
        get_user_events,
        get_user_labels,
        rebase_user,
        export_user,
        delete_user,
        get_random_user_id,
        get_assets,
        post_assets,
        get_labels,
        put_labels,
        get_program,
        put_program,
        rebase_program,
        get_program_status,
        reset_program,
        get_segment,
        get_segments,
    )
}
ABOUT_NO_PROGRAM: Mapping[str, Callable[[KeyCall], object]] = {
    endpoint.__name__: endpoint
    for endpoint in (get_programs, post_programs, get_keys, post_keys, rotate_key, revoke_key)
}


def serve(deployment: Deployment, route: Route, asked: Any, key_text: str | None, *, now: float) -> object:
    """What the endpoint of ``route`` answers: a JSON-able body, or bytes of text. Raises NextbestError."""
    credentials = SecretCredentials.read(key_text)
    if route.name in ABOUT_NO_PROGRAM:
        key = deployment.gate.authenticate(credentials, now=now)
        return ABOUT_NO_PROGRAM[route.name](KeyCall(deployment, asked, key, now))
    key, state = deployment.gate.authorize(credentials, asked.program_id, route.scope, now=now)
    return ABOUT_A_PROGRAM[route.name](Call(deployment, asked, key, state, now))
