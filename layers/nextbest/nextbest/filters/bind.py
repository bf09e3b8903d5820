"""From syntax tree to a filter that can be evaluated: every check that needs to know the program's datasets.

Source: docs/contracts/personalize.md: the checks at the end of section 3.7, the restrictions of section 3.3, and 11.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nextbest.domain.assets import EXPIRY, EXPIRY_ALIAS, REPEAT_FREQUENCY
from nextbest.errors import FilterSyntaxError, QuotaExceeded
from nextbest.filters.diagnostics import invalid_expression
from nextbest.filters.grammar import (
    Comparison,
    Condition,
    Conjunction,
    Dataset,
    Expression,
    Field,
    Filter,
    Literal,
    NumberLiteral,
    Placeholder,
    Target,
    Test,
    Verb,
    print_alternatives,
)
from nextbest.filters.schema import EVENT_TYPE, FieldType, Schema
from nextbest.filters.values import to_number

MAX_FIELDS_PER_FILTER = 10
MAX_FIELDS_PER_DATASET_GROUP = 20

_DATASETS_OF = {
    Target.ACTION: (Dataset.ACTIONS, Dataset.ACTION_INTERACTIONS),
    Target.ITEM: (Dataset.ITEMS, Dataset.INTERACTIONS),
    Target.USER: (Dataset.USERS,),
}
_INTERACTIONS = (Dataset.ACTION_INTERACTIONS, Dataset.INTERACTIONS)
_APPLIED_BY_THE_SERVICE = (EXPIRY, EXPIRY_ALIAS, REPEAT_FREQUENCY)


@dataclass(frozen=True, slots=True)
class BoundCondition:
    """A condition whose field exists; the field's name is in upper case."""

    field: Field
    type: FieldType
    test: Test


BoundConjunction = tuple[BoundCondition, ...]


@dataclass(frozen=True, slots=True)
class BoundPart:
    """One ``|`` part. ``placeholders`` are those of the whole part, in order of appearance, each once.

    ``mask_key`` identifies a part's conditions on the catalogue (all but IF); ``mask_placeholders`` are the
    placeholders in them. A part's result depends on the user where ``reads_interactions`` is true or where it has
    ``user_conditions``.
    """

    verb: Verb
    alternatives: tuple[BoundConjunction, ...]
    user_conditions: BoundConjunction
    placeholders: tuple[str, ...]
    mask_key: str
    mask_placeholders: tuple[str, ...]
    reads_interactions: bool

    @property
    def conditions(self) -> Iterable[BoundCondition]:
        """Every condition, those of IF last."""
        return (*(condition for conjunction in self.alternatives for condition in conjunction), *self.user_conditions)


@dataclass(frozen=True, slots=True)
class BoundFilter:
    """A filter that fits its program's datasets.

    ``required`` are the placeholders of INCLUDE parts; ``optional`` those that occur in EXCLUDE parts only, which are
    dropped without a value (section 3.6). ``fields`` are the distinct dataset fields, as ``Dataset.NAME``.
    """

    target: Target
    parts: tuple[BoundPart, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    fields: frozenset[str]

    @property
    def reads_interactions(self) -> bool:
        """Whether the result depends on what the requested user did."""
        return any(part.reads_interactions for part in self.parts)

    @property
    def reads_user(self) -> bool:
        """Whether the result depends on the requested user's row of Users."""
        return any(part.user_conditions for part in self.parts)


def bind(tree: Filter, schema: Schema) -> BoundFilter:
    """Check ``tree`` against ``schema``. Raises FilterSyntaxError, pointing at the offending place."""
    target = tree.parts[0].target
    for part in tree.parts:
        if part.target is not target:
            problem = f"all parts of one filter select the same thing, here {target}, not {part.target}"
            raise invalid_expression(problem, tree.source, part.position)
    binder = _Binder(schema, tree.source, target)
    parts = tuple(binder.part(part) for part in tree.parts)
    required = _distinct(name for part in parts if part.verb is Verb.INCLUDE for name in part.placeholders)
    optional = _distinct(name for part in parts for name in part.placeholders if name not in required)
    return BoundFilter(target, parts, required, optional, frozenset(binder.fields))


def check_dataset_group(filters: Iterable[BoundFilter]) -> None:
    """Raise QuotaExceeded where all filters of a program together name over 20 distinct fields (section 3.3)."""
    fields = frozenset[str]().union(*(bound.fields for bound in filters))
    if len(fields) > MAX_FIELDS_PER_DATASET_GROUP:
        raise QuotaExceeded(
            f"Could not create filter. The filters of a dataset group use at most {MAX_FIELDS_PER_DATASET_GROUP} "
            f"distinct dataset fields; with this one they would use {len(fields)}.",
            field="filterExpression",
        )


class _Binder:
    """Binds the parts of one filter, and counts the fields they name."""

    def __init__(self, schema: Schema, source: str, target: Target) -> None:
        self.schema = schema
        self.source = source
        self.target = target
        self.fields: set[str] = set()

    def part(self, part: Expression) -> BoundPart:
        alternatives = tuple(self.conjunction(conjunction) for conjunction in part.alternatives)
        canonical = [tuple(Condition(bound.field, bound.test) for bound in conjunction) for conjunction in alternatives]
        types = ",".join(bound.type for conjunction in alternatives for bound in conjunction)
        return BoundPart(
            part.verb,
            alternatives,
            self.conjunction(part.user_conditions),
            _distinct(_placeholders(part.conditions)),
            f"{print_alternatives(canonical)} : {types}",
            _distinct(_placeholders(condition for conjunction in part.alternatives for condition in conjunction)),
            part.alternatives[0][0].field.dataset in _INTERACTIONS,
        )

    def conjunction(self, conditions: Conjunction) -> BoundConjunction:
        return tuple(self.condition(condition) for condition in conditions)

    def condition(self, condition: Condition) -> BoundCondition:
        field, test = condition.field, condition.test
        allowed = _DATASETS_OF[self.target]
        if field.dataset not in (*allowed, Dataset.CURRENT_USER):
            problem = f"{self.target} is filtered by {' or '.join(allowed)}, not by {field.dataset}"
            raise self.invalid(problem, field)
        field_type = self.known(field)
        self.check_type(field, field_type, test)
        if isinstance(test.operand, Field):
            self.item_field(test.operand, field_type)
        return BoundCondition(replace(field, name=field.name.upper()), field_type, test)

    def known(self, field: Field) -> FieldType:
        """The type of ``field``. Raises FilterSyntaxError where it does not exist or cannot be filtered by."""
        dataset, name = field.dataset.stored, field.name.upper()
        if not self.schema.has(dataset):
            raise self.invalid(f"the dataset group has no {dataset} dataset", field)
        if dataset in _INTERACTIONS and name != EVENT_TYPE:
            raise self.invalid(f"{dataset} can be filtered by EVENT_TYPE only, not by {field.name}", field)
        if dataset is Dataset.ACTIONS and name in _APPLIED_BY_THE_SERVICE:
            raise self.invalid(f"{field.name} cannot be filtered by; the service applies it by itself", field)
        field_type = self.schema.type_of(field)
        if field_type is None:
            raise self.invalid(f"the schema of the {dataset} dataset has no field {field.name}", field)
        if field_type in (FieldType.BOOLEAN, FieldType.FREE_TEXT):
            raise self.invalid(f"{field.name} is of type {field_type}, which cannot be filtered by", field)
        self.fields.add(f"{dataset}.{name}")
        if len(self.fields) > MAX_FIELDS_PER_FILTER:
            problem = f"a filter uses at most {MAX_FIELDS_PER_FILTER} distinct dataset fields; this is one more"
            raise self.invalid(problem, field)
        return FieldType.STRING if dataset in _INTERACTIONS else field_type

    def check_type(self, field: Field, field_type: FieldType, test: Test) -> None:
        if field_type is FieldType.STRING and isinstance(test, Comparison) and test.operator.orders:
            problem = f"{test.operator} compares numbers, but {field.name} holds strings"
            raise self.invalid(problem, field)
        if field_type is FieldType.NUMBER:
            for literal in _literals(test):
                if not isinstance(literal, NumberLiteral) and to_number(literal.text) is None:
                    raise self.invalid(f"{field.name} holds numbers, so this must be one", literal)

    def item_field(self, operand: Field, field_type: FieldType) -> None:
        if self.target is not Target.ITEM:
            raise self.invalid(f"CurrentItem is for ItemID filters only, not for {self.target}", operand)
        operand_type = self.known(operand)
        if FieldType.ANY not in (operand_type, field_type) and operand_type is not field_type:
            problem = f"{operand.name} is of type {operand_type} and cannot be compared with one of type {field_type}"
            raise self.invalid(problem, operand)

    def invalid(self, problem: str, place: Field | Literal) -> FilterSyntaxError:
        return invalid_expression(problem, self.source, place.position)


def _literals(test: Test) -> tuple[Literal, ...]:
    if isinstance(test.operand, tuple):
        return test.operand
    return () if isinstance(test.operand, Placeholder | Field) else (test.operand,)


def _placeholders(conditions: Iterable[Condition]) -> Iterable[str]:
    return (test.operand.name for test in (entry.test for entry in conditions) if isinstance(test.operand, Placeholder))


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
