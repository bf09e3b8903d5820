"""What Lambda tells a function of an invocation, for handlers that are called in process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """The members of Lambda's own context that our functions and Powertools read."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:function"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"
    tenant_id: str | None = None
    remaining_seconds: float = 30.0

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda's."""
        return round(self.remaining_seconds * 1000)
