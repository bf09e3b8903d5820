"""The syntax tree of a filter expression, and how it is written as text.

    Filter      = part | part | ...
    Expression  = (INCLUDE|EXCLUDE) target WHERE conditions [IF conditions on CurrentUser]
    conditions  = conjunctions joined by OR; conditions of one conjunction joined by AND (AND binds tighter)

The nesting is fixed by the grammar, so a tree is never deeper than this. Positions are 0-based character offsets into
the source; they serve error messages and take no part in equality. Source: docs/contracts/personalize.md, section 3.7.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Verb(StrEnum):
    """What becomes of the entities that match."""

    INCLUDE = "INCLUDE"
    EXCLUDE = "EXCLUDE"


class Target(StrEnum):
    """What is filtered: item recommendations, action recommendations or user segments."""

    ITEM = "ItemID"
    ACTION = "ActionID"
    USER = "UserID"


class Dataset(StrEnum):
    """What precedes the dot. The last two are not datasets but one row of Users and of Items."""

    ACTIONS = "Actions"
    ACTION_INTERACTIONS = "Action_Interactions"
    ITEMS = "Items"
    INTERACTIONS = "Interactions"
    USERS = "Users"
    CURRENT_USER = "CurrentUser"
    CURRENT_ITEM = "CurrentItem"

    @property
    def stored(self) -> Dataset:
        """The dataset that holds the row: Users for CurrentUser, Items for CurrentItem."""
        return _STORED.get(self, self)


_STORED = {Dataset.CURRENT_USER: Dataset.USERS, Dataset.CURRENT_ITEM: Dataset.ITEMS}


class Operator(StrEnum):
    """A comparison. All six compare numbers; the first two also compare strings."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="

    @property
    def orders(self) -> bool:
        """Whether it compares by order, which only numbers have here."""
        return self not in (Operator.EQUAL, Operator.NOT_EQUAL)


@dataclass(frozen=True, slots=True)
class Field:
    """``Dataset.NAME``, the name as the author wrote it."""

    dataset: Dataset
    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """``$name``: a value given per request."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class StringLiteral:
    """A quoted string, unescaped. Never of the form ``$WORD``: a placeholder even when quoted (section 3.11)."""

    text: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """An unquoted number, stored as written so that no digit is lost."""

    text: str
    position: int = field(default=0, compare=False)


Literal = StringLiteral | NumberLiteral


@dataclass(frozen=True, slots=True)
class Membership:
    """``[NOT] IN``: literals, one placeholder (never negated), or a field of CurrentItem."""

    operand: tuple[Literal, ...] | Placeholder | Field
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operator and its right-hand side."""

    operator: Operator
    operand: Literal | Placeholder | Field


Test = Membership | Comparison


@dataclass(frozen=True, slots=True)
class Condition:
    """One field and the test on it."""

    field: Field
    test: Test


Conjunction = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """One part of a filter. ``alternatives`` hold when any of its conjunctions does; ``user_conditions`` is the IF."""

    verb: Verb
    target: Target
    alternatives: tuple[Conjunction, ...]
    user_conditions: Conjunction = ()
    position: int = field(default=0, compare=False)

    @property
    def conditions(self) -> Iterable[Condition]:
        """Every condition, those of IF last."""
        return (*(condition for conjunction in self.alternatives for condition in conjunction), *self.user_conditions)


@dataclass(frozen=True, slots=True)
class Filter:
    """A whole filter: at least one part. ``source`` is the text it was read from, for messages."""

    parts: tuple[Expression, ...]
    source: str = field(default="", compare=False, repr=False)


def print_filter(tree: Filter) -> str:
    """The filter in canonical spelling; parsing that text gives an equal tree."""
    return " | ".join(_expression(part) for part in tree.parts)


def print_alternatives(alternatives: Iterable[Conjunction]) -> str:
    """The text between WHERE and IF."""
    return " OR ".join(_conjunction(conjunction) for conjunction in alternatives)


def _expression(part: Expression) -> str:
    condition = f" IF {_conjunction(part.user_conditions)}" if part.user_conditions else ""
    return f"{part.verb} {part.target} WHERE {print_alternatives(part.alternatives)}{condition}"


def _conjunction(conditions: Conjunction) -> str:
    return " AND ".join(f"{_operand(condition.field)} {_test(condition.test)}" for condition in conditions)


def _test(test: Test) -> str:
    if isinstance(test, Comparison):
        return f"{test.operator} {_operand(test.operand)}"
    word = "NOT IN" if test.negated else "IN"
    if isinstance(test.operand, Field):
        return f"{word} {_operand(test.operand)}"
    members = test.operand if isinstance(test.operand, tuple) else (test.operand,)
    return f"{word} ({', '.join(_operand(member) for member in members)})"


def _operand(operand: Literal | Placeholder | Field) -> str:
    match operand:
        case Field(dataset, name):
            return f"{dataset}.{name}"
        case Placeholder(name):
            return f"${name}"
        case NumberLiteral(text):
            return text
        case StringLiteral(text):
            escaped = text.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
