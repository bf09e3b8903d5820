"""The Personalize filter language: text in, a mask over the catalogue out. Needs numpy alone.

    bound = bind(parse(text), schema)                    when the filter is made, and once per warm environment
    columns = FilterColumns(assets)                      once per catalogue version
    mask = evaluate(bound, filter_values, columns, interactions=interactions, user=user_fields)

Contract: docs/contracts/personalize.md, section 3. Choices where AWS is silent: section 11.
"""

from nextbest.filters.bind import BoundFilter, bind, check_dataset_group
from nextbest.filters.columns import FilterColumns
from nextbest.filters.evaluate import evaluate
from nextbest.filters.grammar import Dataset, Filter, Target, print_filter
from nextbest.filters.interactions import Interactions
from nextbest.filters.parse import parse
from nextbest.filters.schema import FieldType, Schema

__all__ = [
    "BoundFilter",
    "Dataset",
    "FieldType",
    "Filter",
    "FilterColumns",
    "Interactions",
    "Schema",
    "Target",
    "bind",
    "check_dataset_group",
    "evaluate",
    "parse",
    "print_filter",
]
