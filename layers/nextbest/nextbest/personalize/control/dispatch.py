"""The control plane: one operation per ``X-Amz-Target``, looked up in one table (personalize-actions §8)."""

from __future__ import annotations

from nextbest.errors import InvalidInput, NextbestError
from nextbest.personalize.control import (
    campaigns,
    dataset_groups,
    dataset_import_jobs,
    datasets,
    event_trackers,
    filters,
    recipes,
    schemas,
    solution_versions,
    solutions,
    tags,
    unsupported,
)
from nextbest.personalize.control.resources import Call, ControlPlane, Operation
from nextbest.personalize.protocol.caller import Caller, identify
from nextbest.personalize.protocol.errors import Protocol, Refused
from nextbest.personalize.protocol.model_shapes import input_shape
from nextbest.personalize.protocol.wire import TARGET, Answer, failure, read_body, success
from nextbest.web.request import Request

SERVICE = "AmazonPersonalize"
MODEL = "personalize"
OPERATIONS: dict[str, Operation] = {
    **unsupported.OPERATIONS,
    **dataset_groups.OPERATIONS,
    **schemas.OPERATIONS,
    **datasets.OPERATIONS,
    **dataset_import_jobs.OPERATIONS,
    **event_trackers.OPERATIONS,
    **recipes.OPERATIONS,
    **solutions.OPERATIONS,
    **solution_versions.OPERATIONS,
    **campaigns.OPERATIONS,
    **filters.OPERATIONS,
    **tags.OPERATIONS,
}


def answer(deployment: ControlPlane, request: Request, caller: Caller, *, now: float, request_id: str) -> Answer:
    """Answer one call of the control plane. ``now`` is seconds since 1970.

    Calls that name no operation are told so in the words of the REST protocol: they are for paths nobody else serves.
    """
    if TARGET not in request.headers:
        return failure(_misdirected(request.path), protocol=Protocol.REST, request_id=request_id)
    try:
        key = identify(deployment.store, caller)
        name, operation = _operation(request.headers[TARGET])
        call = Call(deployment, key, input_shape(MODEL, name).check(read_body(request.body)), now)
        members = operation(call)
    except NextbestError as error:
        return failure(error, protocol=Protocol.CONTROL, request_id=request_id)
    return success(members, protocol=Protocol.CONTROL, request_id=request_id, fields={"operation": name})


def _misdirected(path: str) -> NextbestError:
    """The other two operations of the runtime are for items (§2.4); beyond them there is nothing."""
    if path.rstrip("/").endswith(("/recommendations", "/personalize-ranking")):
        return InvalidInput("This service recommends actions: call GetActionRecommendations")
    return Refused("UnknownOperationException", f"There is no operation at {path[:200]}", status=404)


def _operation(target: str) -> tuple[str, Operation]:
    service, _, name = target.partition(".")
    operation = OPERATIONS.get(name) if service == SERVICE else None
    if operation is None:
        raise Refused("UnknownOperationException", f"The operation {target[:200] or '(none)'} is not known")
    return name, operation
