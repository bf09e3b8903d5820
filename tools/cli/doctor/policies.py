"""What resource policies say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def refuses_plain_http(policy: Mapping[str, Any], action: str) -> bool:
    """Whether the policy refuses everybody an ``action`` without TLS."""
    return any(
        statement["Effect"] == "Deny"
        and statement["Principal"] in ("*", {"AWS": "*"})
        and action in _as_list(statement["Action"])
        and str(statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")).lower() == "false"
        for statement in statements(policy)
    )


def allows_service(policy: Mapping[str, Any], service: str, action: str) -> bool:
    """Whether the policy lets a service of AWS do ``action``."""
    return any(
        statement["Effect"] == "Allow"
        and isinstance(statement["Principal"], Mapping)
        and service in _as_list(statement["Principal"].get("Service", []))
        and action.lower() in (name.lower() for name in _as_list(statement["Action"]))
        for statement in statements(policy)
    )


def statements(policy: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The statements of a policy, which may hold one or a list."""
    yield from _as_list(policy.get("Statement", []))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
