"""The master secret, from which access keys are derived: a SecureString of SSM's parameter store.

It is in no environment variable, which everybody who may read a function's configuration would see. It is read with the
first request that needs it, and again once it is old, so a new secret needs no deployment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from nextbest.aws.clients import SERVICE_FAILURES, SsmClient
from nextbest.aws.direct_reads import Endpoint
from nextbest.observability import logger

LOCAL_VARIABLE = "NEXTBEST_LOCAL"
"""Set for functions of the local stack; SAM CLI sets AWS_SAM_LOCAL for those that it runs."""

PUBLIC_MASTER_SECRET = "known to everyone, for local use only"
"""The master secret of local stacks. Everybody can read it here and make keys with it."""

REFRESH_SECONDS = 300.0
"""How long a secret is used before it is read again: for as long, a changed one may not be known."""

_GET_PARAMETER = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonSSM.GetParameter"}


class StoredSecret:
    """A ``base.MasterSecret`` in the parameter ``name``, read without the SDK, and with it where that fails.

    ``clock`` gives seconds since 1970.
    """

    def __init__(self, name: str, endpoint: Endpoint, client: SsmClient, *, clock: Callable[[], float]) -> None:
        self._name = name
        self._endpoint = endpoint
        self._client = client
        self._clock = clock
        self._secret = ""
        self._read_at = float("-inf")

    def __call__(self) -> str:
        """The secret. Raises RuntimeError for the public one of local stacks, except on a developer's machine."""
        now = self._clock()
        if now - self._read_at < REFRESH_SECONDS:
            return self._secret
        try:
            self._secret = _private(self._read())
        except SERVICE_FAILURES as error:
            if not self._secret:
                raise
            logger.error("the master secret cannot be read again; the last one serves on", error=str(error))
        self._read_at = now
        return self._secret

    def _read(self) -> str:
        request = {"Name": self._name, "WithDecryption": True}
        response = self._endpoint.send("POST", "/", _GET_PARAMETER, json.dumps(request).encode())
        reply = json.loads(response.content) if response is not None else self._client.get_parameter(**request)
        value: str = reply["Parameter"]["Value"]
        return value


def is_local() -> bool:
    """Whether this process runs on a developer's machine, in a local stack or under SAM CLI."""
    return not os.environ.keys().isdisjoint((LOCAL_VARIABLE, "AWS_SAM_LOCAL"))


def _private(secret: str) -> str:
    if secret == PUBLIC_MASTER_SECRET and not is_local():
        raise RuntimeError(
            "the master secret is the public one of local stacks, with which everybody can make keys: store one of "
            "your own, for example the output of `openssl rand -base64 48` (docs/operations.md)"
        )
    return secret
