"""The master secret: where it is read, how often, and that no deployment takes the one that is printed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from nextbest.aws.direct_reads import Endpoint
from nextbest.aws.sigv4 import AwsCredentials
from nextbest.store.master_secret import LOCAL_VARIABLE, PUBLIC_MASTER_SECRET, REFRESH_SECONDS, StoredSecret
from tests.infrastructure.cloudformation import ROOT
from tests.mocked_aws import mocked_aws
from tools.local.key import MASTER_SECRET

NAME = "/nextbest/stack/master-secret"
OWN = "a secret of one's own, longer than 32 characters"


@dataclass(slots=True)
class Parameters:
    """SSM, or its outage; counts what it is asked."""

    ssm: Any
    is_down: bool = False
    calls: int = 0
    now: float = 1000.0
    secret: StoredSecret = field(init=False)

    def __post_init__(self) -> None:
        # Nothing listens there, so the SDK reads.
        nowhere = Endpoint("ssm", "http://127.0.0.1:9", "us-east-1", lambda: AwsCredentials("a", "b", ""), lambda: 0.0)
        self.secret = StoredSecret(NAME, nowhere, self, clock=lambda: self.now)

    def get_parameter(self, **request: Any) -> Mapping[str, Any]:
        self.calls += 1
        if self.is_down:
            raise ClientError({"Error": {"Code": "InternalServerError", "Message": "try again"}}, "GetParameter")
        response: Mapping[str, Any] = self.ssm.get_parameter(**request)
        return response

    def put(self, value: str) -> None:
        self.ssm.put_parameter(Name=NAME, Value=value, Type="SecureString", Overwrite=True)


@pytest.fixture
def parameters() -> Iterator[Parameters]:
    with mocked_aws():
        yield Parameters(boto3.client("ssm", region_name="us-east-1"))


def test_it_is_read_once_and_again_when_it_is_old(parameters: Parameters) -> None:
    parameters.put(OWN)
    assert [parameters.secret() for _ in range(3)] == [OWN] * 3
    assert parameters.calls == 1

    parameters.put("the next one, which needs no deployment")
    assert parameters.secret() == OWN
    parameters.now += REFRESH_SECONDS
    assert parameters.secret() == "the next one, which needs no deployment"


def test_the_last_one_serves_on_while_ssm_does_not_answer(parameters: Parameters) -> None:
    parameters.put(OWN)
    parameters.secret()

    parameters.is_down = True
    parameters.now += REFRESH_SECONDS
    assert [parameters.secret(), parameters.secret()] == [OWN, OWN]
    assert parameters.calls == 2


def test_without_any_it_is_tried_with_every_request(parameters: Parameters) -> None:
    for _ in range(2):
        with pytest.raises(ClientError, match="ParameterNotFound"):
            parameters.secret()
    parameters.put(OWN)
    assert parameters.secret() == OWN


def test_local_stacks_use_the_public_secret() -> None:
    assert MASTER_SECRET == PUBLIC_MASTER_SECRET


def test_a_deployment_refuses_the_public_secret(parameters: Parameters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCAL_VARIABLE, raising=False)
    parameters.put(PUBLIC_MASTER_SECRET)

    with pytest.raises(RuntimeError, match="the public one of local stacks"):
        parameters.secret()


@pytest.mark.parametrize("variable", [LOCAL_VARIABLE, "AWS_SAM_LOCAL"])
def test_a_developers_machine_takes_the_public_secret(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "true")
    parameters.put(PUBLIC_MASTER_SECRET)

    assert parameters.secret() == PUBLIC_MASTER_SECRET


def test_no_variable_of_a_deployment_lets_the_public_secret_pass() -> None:
    template = (ROOT / "template.yaml").read_text()

    assert LOCAL_VARIABLE not in template
    assert "AWS_SAM_LOCAL" not in template
