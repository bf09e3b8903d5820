"""Keys that open every program, issued from outside the API: only with the master secret that the API uses."""

from __future__ import annotations

from random import Random
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from nextbest.domain.access_keys import SCOPES, issue_key, split_key
from nextbest.logic.programs import new_key_id
from nextbest.store.master_secret import REFRESH_SECONDS
from tools.cli.deployment import Deployment, OperationFailed


def issue_operator_key(deployment: Deployment, *, random: Random) -> str:
    """A new key that opens every program: its text. Raises OperationFailed, and then there is no new key.

    The table says whether a key is valid, but only the API's own master secret whether what is signed with it is. So
    the API is called once, signed with the new key, before anybody gets it.
    """
    key, text = issue_key(deployment.master_secret(), new_key_id(random), programs=(), scopes=SCOPES)
    store = deployment.store()
    store.put_access_key(key)
    proved = False
    try:
        _prove(deployment, text)
        proved = True
    finally:
        if not proved:
            store.remove_access_key(key)
    return text


def _prove(deployment: Deployment, text: str) -> None:
    """Make a call that reads, signed with a key. Raises OperationFailed where it is refused, or there is no answer."""
    try:
        _signing_client(deployment, text).list_dataset_groups(maxResults=1)
    except ClientError as error:
        code, parameter = error.response["Error"]["Code"], deployment.master_secret_parameter
        raise OperationFailed(
            f"no key was issued: {deployment.url} refuses it with {code}. Its master secret is not that of "
            f"{f'the parameter {parameter}' if parameter else 'local stacks'}; a secret that was just stored is in use "
            f"after {REFRESH_SECONDS / 60:.0f} minutes"
        ) from error
    except BotoCoreError as error:
        raise OperationFailed(f"no key was issued: it cannot be proved, as the API does not answer: {error}") from error


def _signing_client(deployment: Deployment, text: str) -> Any:
    key_id, secret = split_key(text)
    make: Any = deployment.session.client
    return make(
        "personalize",
        endpoint_url=f"{deployment.url}/personalize",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 3}),
    )
