"""The traffic of a program, as CloudWatch says it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from nextbest.store.base import Traffic
from nextbest.store.traffic import CloudWatchTraffic

NOW = 1_764_000_061.5


class MetricsDouble:
    """CloudWatch that has ``values`` by id, or fails. Implements ``aws.clients.CloudWatchClient``."""

    def __init__(self, values: Mapping[str, list[float]], error: Exception | None = None) -> None:
        self.values = values
        self.error = error
        self.request: dict[str, Any] = {}

    def get_metric_data(self, **request: Any) -> Mapping[str, Any]:
        self.request = request
        if self.error is not None:
            raise self.error
        queries = request["MetricDataQueries"]
        return {
            "MetricDataResults": [{"Id": each["Id"], "Values": self.values.get(each["Id"], [])} for each in queries]
        }


def test_requests_add_up_and_the_latest_percentile_counts() -> None:
    metrics = MetricsDouble({"requests": [3.0, 4.0], "median": [5.0, 9.0], "p99": [31.0]})

    assert CloudWatchTraffic(metrics, "Nextbest/stack").last_hour("demo", now=NOW) == Traffic(7, 5.0, 31.0)
    assert metrics.request["EndTime"] - metrics.request["StartTime"] == 3600
    assert metrics.request["EndTime"] == 1_764_000_060
    for query in metrics.request["MetricDataQueries"]:
        metric = query["MetricStat"]["Metric"]
        assert metric["Namespace"] == "Nextbest/stack"
        assert metric["Dimensions"] == [{"Name": "program", "Value": "demo"}]


def test_a_program_without_requests_has_no_latency() -> None:
    assert CloudWatchTraffic(MetricsDouble({}), "Nextbest").last_hour("demo", now=NOW) == Traffic(0, None, None)


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricData"),
        EndpointConnectionError(endpoint_url="https://monitoring.us-east-1.amazonaws.com"),
    ],
)
def test_what_is_not_known_is_none_and_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    assert CloudWatchTraffic(MetricsDouble({}, error), "Nextbest").last_hour("demo", now=NOW) is None
    assert "the metrics cannot be read" in caplog.text
