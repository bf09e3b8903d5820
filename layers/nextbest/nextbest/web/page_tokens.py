"""Tokens of pages: a position in a list, as clients send it back to go on there."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def token_of(position: str | None) -> str | None:
    """The token of a page that begins after a position."""
    return None if position is None else urlsafe_b64encode(position.encode()).decode()


def position_in(token: str) -> str | None:
    """The position in a token; None for a text that is no token."""
    try:
        return urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        return None
