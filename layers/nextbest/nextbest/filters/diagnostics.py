"""Messages that point at the character where a filter expression went wrong."""

from __future__ import annotations

from nextbest.errors import FilterSyntaxError

_REACH = 38
"""How many characters of the source an excerpt shows on either side."""


def invalid_expression(problem: str, source: str, position: int) -> FilterSyntaxError:
    """The error for ``problem`` at ``position`` (0-based) of ``source``, with an excerpt and a caret under the place.

    The message counts characters from 1, as people do. It begins with AWS's own text (docs/contracts/personalize.md,
    section 3.9).
    """
    message = f"Could not create filter. Invalid Expression: {problem} (at character {position + 1})"
    if source:
        message += f"\n{excerpt(source, position)}"
    return FilterSyntaxError(message, position=position)


def placeholder_after_not_in(name: str, position: int) -> FilterSyntaxError:
    """The error for ``NOT IN ($name)``, in AWS's own words (section 3.9)."""
    return FilterSyntaxError(
        f"Could not create filter. Invalid input symbol: ${name}. Placeholders are not allowed with NOT_IN operator.",
        position=position,
    )


def shown(text: str) -> str:
    """``text`` on one line: whatever cannot be printed (line breaks, lone surrogates) becomes a blank."""
    return "".join(character if character.isprintable() else " " for character in text)


def excerpt(source: str, position: int) -> str:
    """``source`` around ``position`` on one line, and under it a caret at the place."""
    start, end = max(0, position - _REACH), position + _REACH
    before = "..." if start else ""
    after = "..." if end < len(source) else ""
    return f"{before}{shown(source[start:end])}{after}\n{' ' * (len(before) + position - start)}^"
