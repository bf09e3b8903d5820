"""From text to syntax tree: a tokenizer and a recursive-descent parser.

The grammar is that of docs/contracts/personalize.md, section 3.7. Keywords, targets and dataset names are accepted in
any case, dataset names also in the singular, ``NOT_IN`` for ``NOT IN``, single quotes for double ones (sections 3.5 and
11). What depends on a schema is checked in ``bind.py``.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeVar

from nextbest.errors import FilterSyntaxError
from nextbest.filters.diagnostics import invalid_expression, placeholder_after_not_in, shown
from nextbest.filters.grammar import (
    Comparison,
    Condition,
    Conjunction,
    Dataset,
    Expression,
    Field,
    Filter,
    Literal,
    Membership,
    NumberLiteral,
    Operator,
    Placeholder,
    StringLiteral,
    Target,
    Test,
    Verb,
)

MAX_FILTER_CHARACTERS = 2500
MAX_PLACEHOLDER_CHARACTERS = 50
MAX_NAME_CHARACTERS = 150

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<placeholder> \$[A-Za-z0-9_]+ )
    | (?P<number> -?[0-9]+(?:\.[0-9]+)? )
    | (?P<string> "(?:[^"\\]|\\.)*" | '[^']*' )
    | (?P<symbol> [<>!]= | [=<>().,|] )
    | (?P<end> \Z )
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(["\\])')
_QUOTED_PLACEHOLDER = re.compile(r"\$[A-Za-z0-9_]+")

_VERBS = {verb.upper(): verb for verb in Verb}
_TARGETS = {target.upper(): target for target in Target}
_DATASETS = {dataset.upper(): dataset for dataset in Dataset} | {
    dataset.upper().removesuffix("S"): dataset for dataset in Dataset if dataset.endswith("s")
}
_OPERATORS = {operator.value: operator for operator in Operator}
_WHERE_DATASETS = "Actions, Action_Interactions, Items, Interactions or Users"

Choice = TypeVar("Choice")


class _Token(NamedTuple):
    kind: str
    text: str
    position: int

    @property
    def keyword(self) -> str:
        return self.text.upper() if self.kind == "word" else ""


def parse(text: str) -> Filter:
    """Read a filter expression of 1 to 2,500 characters.

    Raises FilterSyntaxError, whose message names the character where reading failed, and no other exception.
    """
    if len(text) > MAX_FILTER_CHARACTERS:
        raise FilterSyntaxError(
            "Could not create filter. Invalid Expression: a filter expression has at most "
            f"{MAX_FILTER_CHARACTERS} characters, this one has {len(text)}",
            position=MAX_FILTER_CHARACTERS,
        )
    return _Parser(text).filter()


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    offset = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, offset)
        if match is None:
            raise _unreadable(text, offset)
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        offset = match.end()
    return tokens


def _unreadable(text: str, offset: int) -> FilterSyntaxError:
    position = len(text) - len(text[offset:].lstrip())
    character = text[position]
    if character in "\"'":
        return invalid_expression("this string is not closed", text, position)
    if character == "$":
        return invalid_expression("a placeholder is $ followed by letters, digits or _", text, position)
    return invalid_expression(f'"{shown(character)}" has no meaning here', text, position)


class _Parser:
    """Reads tokens left to right. Each method reads one rule of the grammar and leaves ``next`` behind it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.index = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def filter(self) -> Filter:
        parts = [self.expression()]
        while self.accept("|"):
            parts.append(self.expression())
        if self.next.kind != "end":
            has_condition = parts[-1].user_conditions
            raise self.expected("AND, | or the end of the expression" if has_condition else "AND, OR, IF, | or the end")
        return Filter(tuple(parts), self.text)

    def expression(self) -> Expression:
        position = self.next.position
        verb = self.choice(_VERBS, "INCLUDE or EXCLUDE")
        target = self.choice(_TARGETS, "ItemID, ActionID or UserID")
        if not self.accept("WHERE"):
            raise self.expected("WHERE")
        alternatives = self.alternatives()
        user_conditions = self.user_conditions() if self.accept("IF") else ()
        return Expression(verb, target, alternatives, user_conditions, position)

    def alternatives(self) -> tuple[Conjunction, ...]:
        first = self.condition(None)
        conjunctions = [[first]]
        while self.next.keyword in ("AND", "OR"):
            if self.accept("OR"):
                conjunctions.append([])
            else:
                self.index += 1
            conjunctions[-1].append(self.condition(first.field.dataset))
        return tuple(tuple(conjunction) for conjunction in conjunctions)

    def condition(self, dataset: Dataset | None) -> Condition:
        """A condition of WHERE; ``dataset`` is that of the expression's first condition."""
        field = self.field(f"a dataset ({_WHERE_DATASETS})")
        if field.dataset is Dataset.CURRENT_USER:
            raise self.invalid("CurrentUser is allowed after IF only", field.position)
        if field.dataset is Dataset.CURRENT_ITEM:
            raise self.invalid("CurrentItem is allowed on the right-hand side only", field.position)
        if dataset not in (None, field.dataset):
            problem = f"one expression reads one dataset, here {dataset}; combine expressions with |"
            raise self.invalid(problem, field.position)
        return Condition(field, self.test())

    def user_conditions(self) -> Conjunction:
        conditions: list[Condition] = []
        while not conditions or self.accept("AND"):
            field = self.field("CurrentUser")
            if field.dataset is not Dataset.CURRENT_USER:
                raise self.invalid("IF takes conditions on CurrentUser only", field.position)
            conditions.append(Condition(field, self.test()))
        if self.next.keyword == "OR":
            raise self.invalid("conditions of IF are joined by AND only", self.next.position)
        return tuple(conditions)

    def field(self, expectation: str) -> Field:
        position = self.next.position
        if self.next.text == "(":
            raise self.invalid("parentheses do not group conditions in this language", position)
        dataset = self.choice(_DATASETS, expectation)
        if not self.accept("."):
            raise self.expected(f'"." and a field name after {dataset}')
        # Whatever word follows the dot is a name, even one that spells a keyword.
        name = self.take("word", "a field name")
        if len(name.text) > MAX_NAME_CHARACTERS:
            raise self.invalid(f"a field name has at most {MAX_NAME_CHARACTERS} characters", name.position)
        return Field(dataset, name.text, position)

    def test(self) -> Test:
        if self.accept("IN"):
            return Membership(self.members(negated=False))
        if self.accept("NOT_IN"):
            return Membership(self.members(negated=True), negated=True)
        if self.accept("NOT"):
            if not self.accept("IN"):
                raise self.expected("IN after NOT")
            return Membership(self.members(negated=True), negated=True)
        operator = _OPERATORS.get(self.next.text) if self.next.kind == "symbol" else None
        if operator is None:
            raise self.expected("IN, NOT IN or one of = != < <= > >=")
        self.index += 1
        return Comparison(operator, self.scalar(operator))

    def members(self, *, negated: bool) -> tuple[Literal, ...] | Placeholder | Field:
        """What follows IN: a list in parentheses, a placeholder with or without them, or CurrentItem.NAME."""
        if self.next.kind == "word":
            return self.item_field("a list in parentheses")
        if self.next.kind == "placeholder":
            return self.member_placeholder(self.placeholder(), negated=negated)
        if not self.accept("("):
            raise self.expected("a list in parentheses")
        first = self.value()
        if isinstance(first, Placeholder):
            self.member_placeholder(first, negated=negated)
            if not self.accept(")"):
                raise self.expected(f'")": the placeholder ${first.name} stands alone in its list')
            return first
        literals = [first]
        while self.accept(","):
            value = self.value()
            if isinstance(value, Placeholder):
                raise self.invalid(f"the placeholder ${value.name} must stand alone in its list", value.position)
            literals.append(value)
        if not self.accept(")"):
            raise self.expected('"," or ")"')
        return tuple(literals)

    def member_placeholder(self, placeholder: Placeholder, *, negated: bool) -> Placeholder:
        if negated:
            raise placeholder_after_not_in(placeholder.name, placeholder.position)
        return placeholder

    def scalar(self, operator: Operator) -> Literal | Placeholder | Field:
        if self.next.kind == "word":
            return self.item_field("a number, a string or a placeholder")
        in_parentheses = self.accept("(")
        value = self.value()
        if isinstance(value, StringLiteral) and operator.orders:
            raise self.invalid(f"{operator} compares numbers, not strings", value.position)
        if in_parentheses and not self.accept(")"):
            raise self.expected('")"')
        return value

    def value(self) -> Literal | Placeholder:
        token = self.next
        if token.kind == "placeholder":
            return self.placeholder()
        if token.kind == "number":
            self.index += 1
            return NumberLiteral(token.text, token.position)
        text = self.take("string", "a number, a quoted string or a placeholder").text
        content = _ESCAPE.sub(r"\1", text[1:-1]) if text[0] == '"' else text[1:-1]
        if _QUOTED_PLACEHOLDER.fullmatch(text[1:-1]):
            return self.named_placeholder(text[2:-1], token.position)
        return StringLiteral(content, token.position)

    def placeholder(self) -> Placeholder:
        token = self.take("placeholder", "a placeholder")
        return self.named_placeholder(token.text[1:], token.position)

    def named_placeholder(self, name: str, position: int) -> Placeholder:
        if len(name) > MAX_PLACEHOLDER_CHARACTERS:
            problem = f"the name of a placeholder has at most {MAX_PLACEHOLDER_CHARACTERS} characters"
            raise self.invalid(problem, position)
        return Placeholder(name, position)

    def item_field(self, expectation: str) -> Field:
        """CurrentItem.NAME, the one field that is allowed on a right-hand side."""
        if _DATASETS.get(self.next.keyword) is not Dataset.CURRENT_ITEM:
            raise self.expected(expectation)
        return self.field("CurrentItem")

    def accept(self, text: str) -> bool:
        """Step over the next token if it is this symbol or keyword."""
        token = self.next
        if token.keyword != text and not (token.kind == "symbol" and token.text == text):
            return False
        self.index += 1
        return True

    def take(self, kind: str, expectation: str) -> _Token:
        token = self.next
        if token.kind != kind:
            raise self.expected(expectation)
        self.index += 1
        return token

    def choice(self, choices: dict[str, Choice], expectation: str) -> Choice:
        chosen = choices.get(self.next.keyword)
        if chosen is None:
            raise self.expected(expectation)
        self.index += 1
        return chosen

    def expected(self, expectation: str) -> FilterSyntaxError:
        token = self.next
        actual = "the expression ends" if token.kind == "end" else f"found {shown(token.text[:40])}"
        return self.invalid(f"expected {expectation}, but {actual}", token.position)

    def invalid(self, problem: str, position: int) -> FilterSyntaxError:
        return invalid_expression(problem, self.text, position)
