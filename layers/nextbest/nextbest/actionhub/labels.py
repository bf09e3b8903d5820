"""Labels: finding them, and the operator's weights for them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import (
    ContractModel,
    LabelName,
    PageNumber,
    PageSize,
    ProgramId,
    Result,
    Search,
    example,
    page_of,
)
from nextbest.actionhub.parsing import MAX_ENTRIES
from nextbest.domain.access_keys import READ, WRITE
from nextbest.domain.events import MAX_LABEL_WEIGHT
from nextbest.logic.assets import find_labels, set_label_weights

router = ResourceRouter("labels")


class Label(ContractModel):
    """A label and its weight: how much events with it count in label weights."""

    label: LabelName
    weight: Annotated[float, Field(ge=-MAX_LABEL_WEIGHT, le=MAX_LABEL_WEIGHT, allow_inf_nan=False)]


class LabelList(ContractModel):
    """One to a thousand labels."""

    model_config = example(labels=[{"label": "milk", "weight": 2.0}])

    labels: Annotated[list[Label], Field(min_length=1, max_length=MAX_ENTRIES)]


class LabelPage(ContractModel):
    items: list[Label]
    total: int
    page: int
    size: int


@router.endpoint("GET", "/labels", READ, "Find labels")
def get_labels(program_id: ProgramId, search: Search = "", page: PageNumber = 1, size: PageSize = 50) -> LabelPage:
    labels = find_labels(router.call.state, router.call.catalogue, search)
    # Personalize's labels may break the bounds for new ones.
    items = [Label.model_construct(label=label, weight=weight) for label, weight in page_of(labels, page, size)]
    return LabelPage.model_construct(items=items, total=len(labels), page=page, size=size)


@router.endpoint("PUT", "/labels", WRITE, "Create labels or change their weights")
def put_labels(program_id: ProgramId, body: LabelList) -> Result:
    weights = {label.label: label.weight for label in body.labels}
    set_label_weights(router.call.deployment.store, router.call.state, weights)
    return Result(result=f"stored {len(weights)} labels")
