"""EMR Serverless in a test: it keeps runs of jobs, and whoever tests says how they go. moto's starts a run twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.validate import ParamValidator


@dataclass(slots=True)
class EmrServerlessDouble:
    """A client whose requests are checked against AWS's model. ``states`` are those of the runs, by their ids.

    ``refuses`` is what StartJobRun fails with, an HTTP status and a code.
    """

    states: dict[str, str] = field(default_factory=dict)
    requests: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    refuses: tuple[int, str] | None = None
    _run_of_token: dict[str, str] = field(default_factory=dict)

    def start_job_run(self, **request: Any) -> Mapping[str, Any]:
        _check("StartJobRun", request)
        if self.refuses is not None:
            status, code = self.refuses
            response: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(response, "StartJobRun")
        run = self._run_of_token.setdefault(request["clientToken"], f"00run{len(self._run_of_token)}")
        self.requests.setdefault(run, request)
        self.states.setdefault(run, "SUBMITTED")
        return {"jobRunId": run, "applicationId": request["applicationId"], "arn": ""}

    def get_job_run(self, **request: Any) -> Mapping[str, Any]:
        _check("GetJobRun", request)
        run = request["jobRunId"]
        if run not in self.states:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": run}}, "GetJobRun")
        driver = self.requests[run]["jobDriver"]
        return {"jobRun": {"jobDriver": driver, "state": self.states[run], "stateDetails": "as tested"}}

    def cancel_job_run(self, **request: Any) -> Mapping[str, Any]:
        _check("CancelJobRun", request)
        run = request["jobRunId"]
        if self.states.get(run) in (None, "SUCCESS", "FAILED", "CANCELLED"):
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "has ended"}}, "CancelJobRun")
        self.states[run] = "CANCELLED"
        return request


def _check(operation: str, request: Mapping[str, Any]) -> None:
    model = get_session().get_service_model("emr-serverless").operation_model(operation)
    assert model.input_shape is not None
    report = ParamValidator().validate(request, model.input_shape)
    assert not report.has_errors(), report.generate_report()
