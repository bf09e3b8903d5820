"""One deployment for all faults, and a program of its own for each test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.faults.deployment import Deployment, Tenant
from tests.infrastructure.cloudformation import TEMPLATE


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("faults"))
    yield made
    made.close()


@pytest.fixture
def tenant(deployment: Deployment, request: pytest.FixtureRequest) -> Tenant:
    """A new, empty program."""
    return deployment.new_program(request.node.name)


@pytest.fixture(scope="session")
def expect_alarm() -> Callable[[str], None]:
    """Asserts that an alarm of the template tells operators of the fault."""
    alarms = set(re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm", TEMPLATE.read_text(), re.MULTILINE))

    def check(alarm: str) -> None:
        assert alarm in alarms, f"{alarm} is none of {sorted(alarms)}"

    return check
