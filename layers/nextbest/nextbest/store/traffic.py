"""The traffic of programs, from the metrics that their requests recorded in CloudWatch (``observability``)."""

from __future__ import annotations

from typing import Any

from nextbest.aws.clients import SERVICE_FAILURES, CloudWatchClient
from nextbest.observability import logger
from nextbest.store.base import Traffic

_HOUR_SECONDS = 3600
_QUERIES = {
    # By the minute, to add up to this hour: points of an hour begin with a full one. Percentiles do not add up.
    "requests": ("Requests", "Sum", 60),
    "median": ("Latency", "p50", _HOUR_SECONDS),
    "p99": ("Latency", "p99", _HOUR_SECONDS),
}


class CloudWatchTraffic:
    """The metrics of one namespace. Implements ``base.TrafficReader``."""

    def __init__(self, client: CloudWatchClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def last_hour(self, program_id: str, *, now: float) -> Traffic | None:
        """One call; None where CloudWatch does not answer it, which is logged."""
        end = int(now) // 60 * 60
        try:
            response = self._client.get_metric_data(
                MetricDataQueries=[self._query(name, *query, program_id) for name, query in _QUERIES.items()],
                StartTime=end - _HOUR_SECONDS,
                EndTime=end,
            )
        except SERVICE_FAILURES as error:
            logger.warning("the metrics cannot be read", error=str(error))
            return None
        values = {result["Id"]: result["Values"] for result in response["MetricDataResults"]}
        latest = {name: series[0] if series else None for name, series in values.items()}  # the latest comes first
        return Traffic(round(sum(values["requests"])), latest["median"], latest["p99"])

    def _query(self, name: str, metric: str, statistic: str, period: int, program_id: str) -> dict[str, Any]:
        identity = {
            "Namespace": self._namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": "program", "Value": program_id}],
        }
        return {"Id": name, "MetricStat": {"Metric": identity, "Period": period, "Stat": statistic}}
