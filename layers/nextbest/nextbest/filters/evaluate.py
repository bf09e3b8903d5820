"""From a bound filter to a mask over the catalogue. Hot path: standard library and numpy.

    candidates = union of the active INCLUDE parts, or everything where there is none
    result     = candidates - union of the active EXCLUDE parts

A part is inactive when its IF is false, or when it is an EXCLUDE and one of its placeholders has no value. A field is a
set of values (none for null, several for ``A|B``): IN asks whether it meets the list, NOT IN whether it does not, and a
comparison is false for null. Source: docs/contracts/personalize.md, sections 3.4 to 3.6 and 11 (rows 1 to 12).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nextbest.domain.assets import FieldValue
from nextbest.errors import InvalidInput
from nextbest.filters.bind import BoundCondition, BoundConjunction, BoundFilter, BoundPart
from nextbest.filters.columns import Column, FieldTable, FilterColumns, Mask
from nextbest.filters.grammar import Comparison, Dataset, Field, Operator, Placeholder, Target, Verb
from nextbest.filters.interactions import Interactions, normalised_event_type
from nextbest.filters.schema import FieldType
from nextbest.filters.values import parse_values, to_number

ANY_EVENT_TYPE = "*"

Values = Mapping[str, tuple[str, ...]]

_COMPARE: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


def evaluate(
    bound: BoundFilter,
    values: Mapping[str, str],
    columns: FilterColumns,
    *,
    interactions: Interactions,
    user: Mapping[str, FieldValue] | None,
) -> Mask:
    """Which rows of the catalogue pass, as a new boolean array with one entry per row.

    ``values`` are the request's filterValues as they came; keys the filter does not name are ignored. ``user`` is the
    requested user's row of Users (upper-case names), None where there is none: then every IF is false. Results that
    depend on the catalogue alone are cached in ``columns.masks``.

    Raises InvalidInput for a filter that does not select actions, a missing value of an INCLUDE part, several values
    for a comparison, and text where a number is needed.
    """
    if bound.target is not Target.ACTION:
        raise InvalidInput(f"The filter selects {bound.target}, not ActionID", field="filterArn")
    arguments = _arguments(bound, values)
    for part in bound.parts:
        for condition in part.conditions:
            _check_value(condition, arguments)
    user_table = FieldTable([user]) if user is not None else None
    included: Mask | None = None
    excluded: Mask | None = None
    for part in bound.parts:
        if not all(name in arguments for name in part.placeholders):
            continue
        if not _if_holds(part.user_conditions, arguments, user_table):
            continue
        mask = _part_mask(part, arguments, columns, interactions)
        if part.verb is Verb.INCLUDE:
            included = mask if included is None else included | mask
        else:
            excluded = mask if excluded is None else excluded | mask
    result = np.ones(len(columns), np.bool_) if included is None else included.copy()
    if excluded is not None:
        result &= ~excluded
    return result


def _arguments(bound: BoundFilter, values: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The values of each placeholder that has any. Raises InvalidInput where a required one has none."""
    parsed = {name: parse_values(name, values[name]) for name in (*bound.required, *bound.optional) if name in values}
    arguments = {name: several for name, several in parsed.items() if several}
    missing = [name for name in bound.required if name not in arguments]
    if missing:
        raise InvalidInput(
            f"A value must be given in filterValues for: {', '.join(missing)}. "
            "Every parameter of an INCLUDE expression needs one.",
            field="filterValues",
        )
    return arguments


def _check_value(condition: BoundCondition, arguments: Values) -> None:
    """Raise InvalidInput where a value does not fit its condition, even if the condition's part is inactive."""
    test = condition.test
    if not isinstance(test.operand, Placeholder):
        return
    name = test.operand.name
    texts = arguments.get(name, ())
    if isinstance(test, Comparison) and len(texts) > 1:
        problem = f"Parameter {name} is compared with a field and takes one value, not several"
        raise InvalidInput(problem, field="filterValues")
    wants_number = condition.type is FieldType.NUMBER or (isinstance(test, Comparison) and test.operator.orders)
    if wants_number and any(to_number(text) is None for text in texts):
        raise InvalidInput(f"The value of parameter {name} must be a number", field="filterValues")


def _if_holds(conditions: BoundConjunction, arguments: Values, user: FieldTable | None) -> bool:
    if not conditions:
        return True
    if user is None:
        return False
    return all(bool(_mask(condition, arguments, user.column(condition.field.name))[0]) for condition in conditions)


def _part_mask(part: BoundPart, arguments: Values, columns: FilterColumns, interactions: Interactions) -> Mask:
    if part.reads_interactions:
        return _alternatives_mask(part, lambda condition: _mask_of_user(condition, arguments, interactions, columns))
    key = (part.mask_key, tuple(arguments[name] for name in part.mask_placeholders))
    mask = columns.masks.get(key)
    if mask is None:
        mask = _alternatives_mask(
            part, lambda condition: _mask(condition, arguments, columns.column(condition.field.name))
        )
        columns.masks.put(key, mask)
    return mask


def _alternatives_mask(part: BoundPart, mask_of: Callable[[BoundCondition], Mask]) -> Mask:
    either: Mask | None = None
    for conjunction in part.alternatives:
        every: Mask | None = None
        for condition in conjunction:
            mask = mask_of(condition)
            every = mask if every is None else every & mask
        assert every is not None, "a conjunction has at least one condition"
        either = every if either is None else either | every
    assert either is not None, "an expression has at least one conjunction"
    return either


def _mask(condition: BoundCondition, arguments: Values, column: Column) -> Mask:
    """Which rows meet one condition."""
    test = condition.test
    operands = _operands(condition, arguments)
    if isinstance(test, Comparison):
        return column.spread(_compare(test.operator, condition.type, operands[0], column))
    if _as_numbers(condition.type, operands, column):
        hits = np.isin(column.numbers, list(map(_number, operands)))
    else:
        hits = column.any_of(operands)
    return column.spread(~hits if test.negated else hits)


def _mask_of_user(
    condition: BoundCondition, arguments: Values, interactions: Interactions, columns: FilterColumns
) -> Mask:
    """Which rows meet one condition on the event types that the user has with them: none, or several at once."""
    test, rows = condition.test, columns.rows
    operands = _operands(condition, arguments)
    if isinstance(test, Comparison):
        hits = interactions.mask(rows, operands)
        return interactions.mask(rows) & ~hits if test.operator is Operator.NOT_EQUAL else hits
    hits = interactions.mask(rows, None if ANY_EVENT_TYPE in operands else operands)
    return ~hits if test.negated else hits


def _operands(condition: BoundCondition, arguments: Values) -> tuple[str, ...]:
    """The texts on the right-hand side."""
    operand = condition.test.operand
    assert not isinstance(operand, Field), "bind refuses CurrentItem for actions"
    if isinstance(operand, Placeholder):
        texts = arguments[operand.name]
    elif isinstance(operand, tuple):
        texts = tuple(literal.text for literal in operand)
    else:
        texts = (operand.text,)
    if condition.field.dataset is Dataset.ACTION_INTERACTIONS:
        return tuple(map(normalised_event_type, texts))
    return texts


def _compare(operation: Operator, field_type: FieldType, operand: str, column: Column) -> Mask:
    """Which distinct values of ``column`` satisfy the comparison with ``operand``; null satisfies none."""
    if operation.orders or _as_numbers(field_type, (operand,), column):
        hits: Mask = _COMPARE[operation](column.numbers, _number(operand))
        return hits & ~np.isnan(column.numbers)
    hits = column.any_of((operand,))
    return column.present & ~hits if operation is Operator.NOT_EQUAL else hits


def _as_numbers(field_type: FieldType, operands: tuple[str, ...], column: Column) -> bool:
    """Whether equality is between numbers. An undeclared field takes the type of its values."""
    if field_type is FieldType.ANY:
        return column.is_number and all(to_number(operand) is not None for operand in operands)
    return field_type is FieldType.NUMBER


def _number(text: str) -> float:
    number = to_number(text)
    assert number is not None, "bind checks literals, _check_value the request's values"
    return number
