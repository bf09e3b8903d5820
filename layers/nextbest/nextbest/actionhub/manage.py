"""The endpoints of the ``manage`` function: everything of this dialect that is neither hot nor bulk."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING

from nextbest.actionhub.protocol import KEY_HEADER, ActionHubEndpoints
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.programs import Incarnation
from nextbest.logic.authorization import Gate, SecretCredentials
from nextbest.logic.segment_reading import SegmentCache
from nextbest.scoring import Model
from nextbest.store.base import ArtifactStore, MasterSecret, Store
from nextbest.store.cache import CatalogueCache, ModelCache
from nextbest.web.request import USERS, Request
from nextbest.web.response import Response

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency import BasePersistenceLayer

    from nextbest.actionhub.actions import ActionsEndpoint
    from nextbest.actionhub.resolver import ActionHubResolver


_ACTIONS = re.compile(rf"{USERS}(?P<user_id>(?s:.)+)/actions")
DOCUMENT_PATH = "/openapi.json"
PAGE_PATH = "/docs"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the endpoints act on.

    ``start_rebase`` and ``start_segments`` take a program's incarnation, ``start_report`` also what to compute, such as
    ``experiment`` with its id; all return at once. ``pause`` waits for some seconds; ``idempotency`` opens the records
    of calls that may be repeated.
    """

    store: Store
    artifacts: ArtifactStore
    catalogues: CatalogueCache
    models: ModelCache[Model]
    segments: SegmentCache
    gate: Gate
    start_rebase: Callable[[Incarnation], None]
    start_segments: Callable[[Incarnation], None]
    start_report: Callable[..., None]
    pause: Callable[[float], None]
    idempotency: Callable[[], BasePersistenceLayer]
    import_rules: ImportRules
    master_secret: MasterSecret
    random: Random


class ManageEndpoints(ActionHubEndpoints):
    """Hands requests to the resolver. It is made at the first one: Personalize's control plane does without it.

    ``actions`` opens the endpoint of users' next actions: of users whose ids have slashes, which the gateway cannot
    route to the function of that endpoint, their actions are answered here.
    """

    def __init__(self, deployment: Deployment, actions: Callable[[], ActionsEndpoint]) -> None:
        super().__init__(deployment.gate)
        self._deployment = deployment
        self._actions = actions

    def serve(self, request: Request, *, now: float) -> Response:
        """Answer a request. Raises NextbestError."""
        match = _ACTIONS.fullmatch(request.path)
        if match is not None and request.method == "GET":
            return self._actions().serve(replace(request, path_parameters=match.groupdict()), now=now)
        api = self._described_api if request.path.rstrip("/") in (DOCUMENT_PATH, PAGE_PATH) else self._api
        return api.answer(
            request,
            deployment=self._deployment,
            now=now,
            authenticate=lambda: self.gate.authenticate(
                SecretCredentials.read(request.headers.get(KEY_HEADER)), now=now
            ),
        )

    @cached_property
    def _api(self) -> ActionHubResolver:
        from nextbest.actionhub.api import actionhub_api

        return actionhub_api()

    @cached_property
    def _described_api(self) -> ActionHubResolver:
        """The same, which has the pages from now on."""
        from nextbest.actionhub.api import describe

        describe(self._api)
        return self._api
