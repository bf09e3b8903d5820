"""An idle stack costs next to nothing: everything that is billed without a request is counted."""

from __future__ import annotations

import pytest

from tests.infrastructure.cloudformation import TEMPLATE
from tools.benchmarks.cost import Kind, Units
from tools.benchmarks.cost import bill as bill_of_requests
from tools.benchmarks.idle import idle_bill
from tools.benchmarks.prices import PRICES, Prices
from tools.local.key import PARAMETERS
from tools.local.template import translated_template


def bill(**parameters: str) -> dict[str, float]:
    template, values = translated_template(TEMPLATE, PARAMETERS)
    return idle_bill(template, {**values, **parameters}, Prices(PRICES).by_name())


def test_an_idle_stack_costs_less_than_two_dollars_a_month() -> None:
    assert sum(bill().values()) < 2


def test_what_is_switched_on_is_billed() -> None:
    default, everything = bill(), bill(SnapStart="PublishedVersions", CreateDashboard="true")

    assert default["snapshots of the hot functions"] == 0
    assert "dashboard" not in default
    assert everything["snapshots of the hot functions"] == pytest.approx(13.66, abs=0.01)
    assert everything["dashboard"] == 3


def test_a_resource_that_nobody_has_priced_is_refused() -> None:
    template, values = translated_template(TEMPLATE, PARAMETERS)
    template["Resources"]["Gateway"] = {"Type": "AWS::EC2::NatGateway", "Properties": {}}

    with pytest.raises(ValueError, match="Gateway: nobody has said what a AWS::EC2::NatGateway costs"):
        idle_bill(template, values, Prices(PRICES).by_name())


def test_functions_are_billed_by_the_architecture_they_run_on() -> None:
    kind = Kind("GET actions", milliseconds=10, memory_megabytes=2048, units=Units(0, 0))

    dollars = {name: bill_of_requests(kind, Prices(PRICES), name)["Lambda"] for name in ("arm64", "x86_64")}

    # A million requests of 0.01 s at 2 GB, and 0.20 for the requests.
    assert dollars["arm64"] == pytest.approx(0.2 + 20_000 * 0.0000133334)
    assert dollars["x86_64"] == pytest.approx(0.2 + 20_000 * 0.0000166667)
