"""Callers who sign: which generation of a key's secret they used, and what a new master secret does to them."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from nextbest.domain.access_keys import READ, AccessKey, derive_secret, issue_key, rotate_key
from nextbest.domain.programs import Incarnation
from nextbest.personalize.protocol.signature import InvalidSignature, UnrecognizedClient
from nextbest.personalize.protocol.signed_caller import SignedCaller
from nextbest.web.request import Request

MASTER_SECRET = "m" * 32
KEY_ID = "NBKEY1"
NOW = 1_790_000_000.0
HOUR = 3600.0


def signed(generation: int, *, now: float = NOW, master_secret: str = MASTER_SECRET) -> SignedCaller:
    """A caller who signed with the secret of this generation; the deployment has ``master_secret``."""
    request = AWSRequest("POST", "https://localhost/personalize/events", data=b"{}")
    secret = derive_secret(MASTER_SECRET, KEY_ID, generation)
    with mock.patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(now, UTC)):
        SigV4Auth(Credentials(KEY_ID, secret), "personalize", "us-east-1").add_auth(request)
    headers = {"host": "localhost"} | {name.lower(): str(value) for name, value in request.headers.items()}
    return SignedCaller.of(Request("POST", "/personalize/events", headers=headers, body=b"{}"), lambda: master_secret)


@pytest.fixture
def rotated() -> AccessKey:
    key, _ = issue_key(MASTER_SECRET, KEY_ID, programs=(Incarnation("coffee"),), scopes=(READ,))
    return rotate_key(MASTER_SECRET, key, now=NOW, overlap_seconds=HOUR)


def test_a_signature_proves_which_secret_it_was_made_with(rotated: AccessKey) -> None:
    for generation, is_current in ((1, False), (2, True)):
        caller = signed(generation)
        assert caller.prove(rotated, now=NOW) == rotated
        assert caller.proves_current(rotated, NOW) is is_current


def test_after_the_overlap_the_old_secret_signs_nothing(rotated: AccessKey) -> None:
    late = NOW + HOUR
    with pytest.raises(InvalidSignature):
        signed(1, now=late).prove(rotated, now=late)
    assert signed(2, now=late).prove(rotated, now=late) == rotated


@pytest.mark.parametrize("generation", [0, 3])
def test_a_generation_that_is_not_there_is_refused(rotated: AccessKey, generation: int) -> None:
    with pytest.raises(InvalidSignature):
        signed(generation).prove(rotated, now=NOW)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(UnrecognizedClient):
        signed(1).prove(None, now=NOW)


def test_a_new_master_secret_ends_every_signature_of_before(rotated: AccessKey) -> None:
    for generation in (1, 2):
        with pytest.raises(InvalidSignature):
            signed(generation, master_secret="n" * 32).prove(rotated, now=NOW)
