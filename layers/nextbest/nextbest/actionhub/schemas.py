"""The bodies of requests as pydantic models, named as the OpenAPI document names them.

Each has ``to_domain()``. Bounds that the contract does not give are there so that whatever is
accepted can be stored: user ids hold 1 to 256 characters, event types 1 to 128, and none a control character, which no
log, header or CSV file carries faithfully.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticKnownError

from nextbest.actionhub.inputs import (
    MAX_ASSET_ID_CHARACTERS,
    MAX_ENTRIES,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_PROGRAMS_OF_A_KEY,
    MAX_USER_ID_CHARACTERS,
    AssetChange,
    KeyScope,
    KeySettings,
    LabelWeight,
    ProgramSettings,
)
from nextbest.domain.events import Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]*$"

UserId = Annotated[str, Field(min_length=1, max_length=MAX_USER_ID_CHARACTERS, pattern=_NO_CONTROL_CHARACTERS)]
EventType = Annotated[str, Field(min_length=1, max_length=MAX_EVENT_TYPE_CHARACTERS, pattern=_NO_CONTROL_CHARACTERS)]
AssetId = Annotated[str, Field(min_length=1, max_length=MAX_ASSET_ID_CHARACTERS, pattern=_NO_CONTROL_CHARACTERS)]
LabelName = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARACTERS, pattern=_NO_CONTROL_CHARACTERS)]


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


def to_utc(time: datetime) -> datetime:
    """A time without an offset is UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _within_bounds(time: datetime, info: ValidationInfo) -> datetime:
    """Refuse a time before 1970 or after the validation context's ``latest``, in pydantic's own words."""
    moment = to_utc(time)
    if moment < EPOCH:
        raise PydanticKnownError("greater_than_equal", {"ge": _iso(EPOCH)})
    latest: datetime | None = (info.context or {}).get("latest")
    if latest is not None and moment > latest:
        raise PydanticKnownError("less_than_equal", {"le": _iso(latest)})
    return moment


def _iso(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


class UserEvent(BaseModel):
    """At *event_timestamp*, *user_id* did *event_type* with *asset_id*."""

    user_id: UserId
    event_timestamp: Annotated[
        datetime,
        AfterValidator(_within_bounds),
        Field(description="ISO 8601; UTC where no offset is given. Not before 1970, not over 24 hours in the future."),
    ]
    event_type: EventType
    asset_id: AssetId
    labels: Annotated[list[LabelName], Field(max_length=MAX_LABELS)]

    def to_domain(self) -> Event:
        return Event(
            user_id=self.user_id,
            timestamp_us=(self.event_timestamp - EPOCH) // timedelta(microseconds=1),
            event_type=self.event_type,
            asset_id=self.asset_id,
            labels=tuple(self.labels),
        )


class UserEventList(BaseModel):
    """One to a thousand events. The same event sent again is one event."""

    model_config = _example(
        events=[
            {
                "user_id": "ann",
                "event_timestamp": "2026-03-01T08:15:00Z",
                "event_type": "order",
                "asset_id": "latte",
                "labels": ["morning"],
            }
        ]
    )

    events: Annotated[list[UserEvent], Field(min_length=1, max_length=MAX_ENTRIES)]

    def to_domain(self) -> tuple[Event, ...]:
        return tuple(event.to_domain() for event in self.events)


class NewAsset(BaseModel):
    """An asset to create or change. A field that is missing or null is left as it is stored."""

    asset_id: AssetId
    asset_name: Annotated[str | None, Field(max_length=124)] = None
    labels: Annotated[list[LabelName] | None, Field(max_length=MAX_LABELS)] = None

    def to_domain(self) -> AssetChange:
        return AssetChange(self.asset_id, self.asset_name, None if self.labels is None else tuple(self.labels))


class AssetList(BaseModel):
    """One to a thousand assets."""

    model_config = _example(assets=[{"asset_id": "latte", "asset_name": "Caffè latte", "labels": ["milk", "hot"]}])

    assets: Annotated[list[NewAsset], Field(min_length=1, max_length=MAX_ENTRIES)]

    def to_domain(self) -> tuple[AssetChange, ...]:
        return tuple(asset.to_domain() for asset in self.assets)


class Label(BaseModel):
    """A label and its weight: how much events with it count in label weights."""

    label: LabelName
    weight: Annotated[float, Field(allow_inf_nan=False)]

    def to_domain(self) -> LabelWeight:
        return LabelWeight(self.label, self.weight)


class LabelList(BaseModel):
    """One to a thousand labels."""

    model_config = _example(labels=[{"label": "milk", "weight": 2.0}])

    labels: Annotated[list[Label], Field(min_length=1, max_length=MAX_ENTRIES)]

    def to_domain(self) -> tuple[LabelWeight, ...]:
        return tuple(label.to_domain() for label in self.labels)


class NewProgram(BaseModel):
    """The settings of a program."""

    model_config = _example(program_name="Coffee shop", event_relevance_decay=90)

    program_id: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
            description="Of a new program: its id, or none to have one made from the name. Else the header counts.",
        ),
    ] = None
    program_name: Annotated[str, Field(min_length=1, max_length=256)]
    high_engagement_threshold: Annotated[
        int, Field(gt=1, le=2**31 - 1, description="Users with so many actions are what the model learns from.")
    ] = 3
    event_relevance_decay: Annotated[
        int, Field(gt=2, le=2**31 - 1, description="Days after which an event counts half.")
    ] = 365
    action_weight_floor: Annotated[
        float, Field(lt=1, allow_inf_nan=False, description="Recommendations weaker than this are left out.")
    ] = 0
    description: Annotated[str, Field(max_length=4096)] = ""

    def to_domain(self) -> ProgramSettings:
        return ProgramSettings(
            program_name=self.program_name,
            high_engagement_threshold=self.high_engagement_threshold,
            event_relevance_decay=self.event_relevance_decay,
            action_weight_floor=self.action_weight_floor,
            description=self.description,
            program_id=self.program_id,
        )


class NewKey(BaseModel):
    """What a new key opens, and for what."""

    model_config = _example(programs=["coffee"], scopes=["read", "write"], name="web shop")

    programs: Annotated[
        list[Annotated[str, Field(max_length=63)]],
        Field(max_length=MAX_PROGRAMS_OF_A_KEY, description="None, with the scope admin, opens every program."),
    ]
    scopes: Annotated[
        list[KeyScope], Field(min_length=1, max_length=3, description="write includes read; admin includes both.")
    ]
    name: Annotated[
        str, Field(max_length=256, pattern=_NO_CONTROL_CHARACTERS, description="For people; it need not be unique.")
    ] = ""

    def to_domain(self) -> KeySettings:
        return KeySettings(tuple(dict.fromkeys(self.programs)), tuple(dict.fromkeys(self.scopes)), self.name)
