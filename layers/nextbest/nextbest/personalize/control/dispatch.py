"""The control plane: one operation per ``X-Amz-Target``, looked up in one table.

Source: docs/contracts/personalize.md, section 8.
"""

from __future__ import annotations

from collections.abc import Callable

from nextbest.errors import InvalidInput, NextbestError
from nextbest.logic.authorization import require_current
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
from nextbest.personalize.control.resources import ControlCall, ControlPlane, Operation
from nextbest.personalize.protocol.arns import Arns
from nextbest.personalize.protocol.endpoints import PersonalizeEndpoints
from nextbest.personalize.protocol.errors import UNKNOWN_OPERATION, Protocol, Refused
from nextbest.personalize.protocol.model_shapes import input_shape
from nextbest.personalize.protocol.wire import TARGET, failure, read_body, success
from nextbest.store.base import MasterSecret
from nextbest.store.bulk import BulkStore
from nextbest.web.request import Request
from nextbest.web.response import Response

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
CURRENT_SECRET_ONLY = frozenset({"CreateDatasetGroup", "DeleteDatasetGroup"})
"""Operations that create or delete programs, whose effects would outlive a secret that was rotated."""


class ControlPlaneEndpoints(PersonalizeEndpoints):
    """The control plane. Calls that name no operation are refused in the REST protocol: no other function serves them.

    ``region`` is the deployment's; ``control_plane`` makes what operations act on from the ARNs of an account.
    """

    protocol = Protocol.CONTROL

    def __init__(
        self, store: BulkStore, region: str, control_plane: Callable[[Arns], ControlPlane], master_secret: MasterSecret
    ) -> None:
        super().__init__(store, master_secret)
        self._region = region
        self._control_plane = control_plane

    def serve(self, request: Request, *, now: float) -> Response:
        """The response to one call of the control plane."""
        caller = self.caller(request)
        if TARGET not in request.headers:
            raise _misdirected(request.path)
        key = self.gate.authenticate(caller, now=now)
        name, operation = _operation(request.headers[TARGET])
        if name in CURRENT_SECRET_ONLY:
            require_current(caller, key, now=now)
        control_plane = self._control_plane(Arns(self._region, request.account_id))
        call = ControlCall(control_plane, key, input_shape(MODEL, name).check(read_body(request.body)), now)
        members = operation(call)
        return success(members, protocol=self.protocol, request_id=request.request_id, fields={"operation": name})

    def refuse(self, error: NextbestError, request: Request, _now: float, /) -> Response:
        protocol = self.protocol if TARGET in request.headers else Protocol.REST
        return failure(error, protocol=protocol, request_id=request.request_id)


def _misdirected(path: str) -> NextbestError:
    """The refusal of an unknown path. The other two operations of the runtime are for items (section 2.4)."""
    if path.rstrip("/").endswith(("/recommendations", "/personalize-ranking")):
        return InvalidInput("This service recommends actions: call GetActionRecommendations")
    return Refused(UNKNOWN_OPERATION, f"There is no operation at {path[:200]}", status=404)


def _operation(target: str) -> tuple[str, Operation]:
    service, _, name = target.partition(".")
    operation = OPERATIONS.get(name) if service == SERVICE else None
    if operation is None:
        raise Refused(UNKNOWN_OPERATION, f"The operation {target[:200] or '(none)'} is not known")
    return name, operation
