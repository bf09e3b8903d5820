"""Values of placeholders, as a request gives them.

On the wire one string holds one or more values: ``"a","b"``, each in double quotes, separated by commas. Numbers and
single words also come without quotes. Source: docs/contracts/personalize.md, section 3.6.
"""

from __future__ import annotations

import re

from nextbest.errors import InvalidInput

_VALUE = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^",\s][^,]*|))\s*(?P<comma>,|\Z)', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\])')
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def parse_values(name: str, text: str) -> tuple[str, ...]:
    r"""The values in the string given for the placeholder ``name``; none for an empty one, which counts as missing.

    Within quotes a comma is literal and ``\"`` is a quote; blanks around commas do not count; empty places between
    commas are skipped. Raises InvalidInput for quotes that do not pair.
    """
    values: list[str] = []
    offset = 0
    more = True
    while more:
        match = _VALUE.match(text, offset)
        if match is None:
            raise InvalidInput(
                f"The value of parameter {name} cannot be read at character {offset + 1}: values are separated by "
                'commas and each is in double quotes, for example "gold","silver"',
                field="filterValues",
            )
        quoted, bare = match["quoted"], match["bare"]
        if quoted is not None:
            values.append(_ESCAPE.sub(r"\1", quoted))
        elif bare:
            values.append(bare.rstrip())
        offset = match.end()
        more = match["comma"] == ","
    return tuple(values)


def to_number(text: str) -> float | None:
    """The number that ``text`` spells in plain or scientific decimal notation, or None."""
    return float(text) if _NUMBER.fullmatch(text) else None
