"""The one rule for ids and labels, for every way in: what text may name a user, an asset, an event, and what may not.

| given | is |
|---|---|
| ``" ann"``, ``"ann\\t"`` | ``ann``: blanks and tabs around an id are cut |
| ``""``, ``" "`` | refused: empty |
| a line break, NUL, tab, DEL, U+0080 to U+009F, U+2028, U+2029 anywhere else | refused: control characters |
| half of a surrogate pair | refused: it has no UTF-8 form |
| more characters than its kind of id may have | refused |

Everything else is taken as it is: slashes, quotes, other spaces, any script. No log, header, file or line of text
carries control characters faithfully: one user would become two lines of a segment. Messages name the field and never
the value, so that alike faults are worded alike.
"""

from __future__ import annotations

import re

from nextbest.domain.events import BLANKS
from nextbest.errors import InvalidInput

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
NO_CONTROL_CHARACTERS = f"^[^{_CONTROL}]*$"
"""The rule as a pattern for models, which refuse halves of surrogate pairs themselves."""

UNSTORABLE = re.compile(f"[{_CONTROL}\ud800-\udfff]")
"""Any one character that no id may hold."""


def clean_id(text: str) -> str:
    """``text`` without the blanks around it. Ids that only name something to be read take no other check."""
    return text.strip(BLANKS)


def check_id(text: str, *, max_characters: int, field: str) -> str:
    """The id or label that ``text`` spells, by the table above. Raises InvalidInput, which names the field."""
    text = text.strip(BLANKS)
    if not text:
        raise InvalidInput(f"{field} is empty", field=field)
    if len(text) > max_characters:
        raise InvalidInput(f"{field} is longer than {max_characters} characters", field=field)
    if not is_storable(text):
        raise InvalidInput(f"{field} holds a line break or another control character", field=field)
    return text


def is_storable(text: str) -> bool:
    """Whether ``text`` holds no character that ids must not hold."""
    # The first test is the cheap one: no control character, separator of lines or half of a pair is printable.
    return text.isprintable() or UNSTORABLE.search(text) is None
