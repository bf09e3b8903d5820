"""Assets: finding, creating and changing them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import (
    AssetId,
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
from nextbest.domain.events import MAX_LABELS
from nextbest.logic.assets import AssetChange, change_assets, find_assets

router = ResourceRouter("assets")


class NewAsset(ContractModel):
    """An asset to create or change. A field that is missing or null is left as it is stored."""

    asset_id: AssetId
    asset_name: Annotated[str | None, Field(max_length=124)] = None
    labels: Annotated[list[LabelName] | None, Field(max_length=MAX_LABELS)] = None

    def to_domain(self) -> AssetChange:
        return AssetChange(self.asset_id, self.asset_name, None if self.labels is None else tuple(self.labels))


class AssetList(ContractModel):
    """One to a thousand assets."""

    model_config = example(assets=[{"asset_id": "latte", "asset_name": "Caffè latte", "labels": ["milk", "hot"]}])

    assets: Annotated[list[NewAsset], Field(min_length=1, max_length=MAX_ENTRIES)]


class AssetItem(ContractModel):
    asset_id: str
    asset_name: str
    labels: list[str]


class AssetPage(ContractModel):
    items: list[AssetItem]
    total: int
    page: int
    size: int


@router.endpoint("GET", "/assets", READ, "Find assets")
def get_assets(program_id: ProgramId, search: Search = "", page: PageNumber = 1, size: PageSize = 50) -> AssetPage:
    assets = find_assets(router.call.catalogue, search)
    items = [
        AssetItem(asset_id=asset.asset_id, asset_name=asset.asset_name or asset.asset_id, labels=list(asset.labels))
        for asset in page_of(assets, page, size)
    ]
    return AssetPage(items=items, total=len(assets), page=page, size=size)


@router.endpoint("POST", "/assets", WRITE, "Create or change assets", conflict="Too many change the assets at once")
def post_assets(program_id: ProgramId, body: AssetList) -> Result:
    call = router.call
    changes = [asset.to_domain() for asset in body.assets]
    count = change_assets(call.deployment.store, call.catalogue, call.incarnation, changes)
    return Result(result=f"stored {count} assets")
