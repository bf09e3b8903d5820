"""The ActionHub API's signatures once more, written for FastAPI: what the hand-made dialect is compared with.

Written from the contract page, not from the dialect's own schemas, so that a slip in one shows as a difference. Every
endpoint answers with the values that it received, so that accepted requests are compared too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Path, Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError
from starlette.convertors import StringConvertor, register_url_convertor

from nextbest.domain.times import parse_seconds, parse_time
from nextbest.errors import InvalidInput

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def time_of_an_event(value: Any) -> int:
    """Microseconds since 1970; which instants texts and numbers are, and which are none, ``test_times.py`` tests."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise PydanticKnownError("datetime_type")
    read: Callable[..., int] = parse_time if isinstance(value, str) else parse_seconds
    try:
        return read(value, now=NOW.timestamp(), field="it")
    except InvalidInput as error:
        if error.message == "it is before 1970":
            raise PydanticKnownError("greater_than_equal", {"ge": "1970-01-01T00:00:00Z"}) from error
        if error.message == "it is more than 24 hours ahead of now":
            raise PydanticKnownError("less_than_equal", {"le": "2026-03-02T12:00:00Z"}) from error
        raise PydanticKnownError("datetime_from_date_parsing", {"error": error.message}) from error


PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
WITHOUT_BLANKS = BeforeValidator(lambda value: value.strip(" \t") if isinstance(value, str) else value)
Label64 = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE), WITHOUT_BLANKS]
AssetId = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE), WITHOUT_BLANKS]


class Event(BaseModel):
    user_id: Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE), WITHOUT_BLANKS]
    event_timestamp: Annotated[
        int, PlainValidator(time_of_an_event), WithJsonSchema({"type": "string", "format": "date-time"})
    ]
    event_type: Annotated[str, Field(min_length=1, max_length=128, pattern=PRINTABLE), WITHOUT_BLANKS]
    asset_id: AssetId
    labels: list[Label64] = Field(max_length=100)
    recommendation_id: Annotated[str, Field(min_length=1, max_length=40, pattern=PRINTABLE), WITHOUT_BLANKS] = ""
    value: float | None = Field(default=None, strict=True, ge=-1e15, le=1e15, allow_inf_nan=False)


class Events(BaseModel):
    events: list[Event] = Field(min_length=1, max_length=1000)


class Asset(BaseModel):
    asset_id: AssetId
    asset_name: str | None = Field(default=None, max_length=124)
    labels: list[Label64] | None = Field(default=None, max_length=100)


class Assets(BaseModel):
    assets: list[Asset] = Field(min_length=1, max_length=1000)


class LabelWeight(BaseModel):
    label: Label64
    weight: float = Field(ge=-1_000_000, le=1_000_000, allow_inf_nan=False)


class Labels(BaseModel):
    labels: list[LabelWeight] = Field(min_length=1, max_length=1000)


EventTypeName = Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE), WITHOUT_BLANKS]


class EventTypeRule(BaseModel):
    model_config = ConfigDict(extra="forbid")
    event_type: EventTypeName
    after: list[EventTypeName] = Field(min_length=1, max_length=100)


class GoalEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    event_type: EventTypeName
    value: float = Field(default=1.0, gt=0, le=1e9, allow_inf_nan=False)


def each_once(entries: list[GoalEntry]) -> list[GoalEntry]:
    if len({entry.event_type for entry in entries}) < len(entries):
        raise PydanticCustomError("value_error", "Every event type may be there only once")
    return entries


Goal = Annotated[list[GoalEntry], Field(max_length=100), AfterValidator(each_once)]


class RestRuleEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    event_types: list[EventTypeName] = Field(min_length=1, max_length=100)
    after: int = Field(ge=1, le=100)
    within_days: int = Field(ge=1, le=365)
    rest_days: int = Field(ge=1, le=365)
    for_event_types: list[EventTypeName] = Field(
        default_factory=list, exclude_if=lambda event_types: not event_types, max_length=100
    )

    @model_validator(mode="after")
    def counts_other_types(self) -> RestRuleEntry:
        if set(self.event_types) & set(self.for_event_types):
            raise PydanticCustomError("value_error", "No event type may be in event_types and in for_event_types")
        return self


MostPerList = dict[EventTypeName, Annotated[int, Field(ge=1, le=100)]]


class NewProgram(BaseModel):
    model_config = ConfigDict(extra="forbid")
    program_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
    program_name: str = Field(min_length=1, max_length=256)
    high_engagement_threshold: int = Field(default=3, gt=1, le=2147483647)
    event_relevance_decay: int = Field(default=365, gt=2, le=2147483647)
    action_weight_floor: float = Field(default=0, lt=1, allow_inf_nan=False)
    description: str = Field(default="", max_length=4096)
    horizon_days: int = Field(default=14, ge=1, le=365)
    never_recommended: list[EventTypeName] = Field(
        default_factory=list, exclude_if=lambda event_types: not event_types, max_length=100
    )
    done_once: list[EventTypeName] = Field(
        default_factory=list, exclude_if=lambda event_types: not event_types, max_length=100
    )
    event_type_order: list[EventTypeRule] = Field(
        default_factory=list, exclude_if=lambda rules: not rules, max_length=100
    )
    goal: Goal = Field(default_factory=list, exclude_if=lambda entries: not entries)
    rest_rules: list[RestRuleEntry] = Field(default_factory=list, exclude_if=lambda rules: not rules, max_length=20)
    most_per_list: MostPerList = Field(default_factory=dict, exclude_if=lambda caps: not caps, max_length=100)
    decision_share: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)


class ProgramChanges(BaseModel):
    """Only what is sent counts: the defaults are never used."""

    model_config = ConfigDict(extra="forbid")
    program_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
    program_name: str = Field(min_length=1, max_length=256)
    high_engagement_threshold: int = Field(default_factory=int, gt=1, le=2147483647)
    event_relevance_decay: int = Field(default_factory=int, gt=2, le=2147483647)
    action_weight_floor: float = Field(default_factory=float, lt=1, allow_inf_nan=False)
    description: str = Field(default_factory=str, max_length=4096)
    horizon_days: int = Field(default_factory=int, ge=1, le=365)
    never_recommended: list[EventTypeName] = Field(default_factory=list, max_length=100)
    done_once: list[EventTypeName] = Field(default_factory=list, max_length=100)
    event_type_order: list[EventTypeRule] = Field(default_factory=list, max_length=100)
    goal: Goal = Field(default_factory=list)
    rest_rules: list[RestRuleEntry] = Field(default_factory=list, max_length=20)
    most_per_list: MostPerList = Field(default_factory=dict, max_length=100)
    decision_share: float = Field(default_factory=float, ge=0, le=1, allow_inf_nan=False)


class ImportLocations(BaseModel):
    import_locations: list[Annotated[str, Field(max_length=256)]] = Field(max_length=20)


UserId = Annotated[str, WITHOUT_BLANKS, Path(max_length=256)]
ProgramId = Annotated[str, Header()]
PageNumber = Annotated[int, Query(ge=1)]
PageSize = Annotated[int, Query(ge=1, le=100)]
Weight = Annotated[float, Query(ge=0, allow_inf_nan=False)]

app = FastAPI(openapi_url=None, max_body_size=4 * 1024 * 1024)


@app.get("/users/{user_id}/actions")
async def get_actions(
    user_id: UserId,
    program_id: ProgramId,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    allow_repeats: bool = True,
    explain: bool = False,
    event_types: str = "",
    exclude_event_types: str = "",
    filter: str = "",
    filter_values: str = "",
    objective: Literal["growth", "goal"] = "growth",
) -> Any:
    return {
        "user_id": user_id,
        "program_id": program_id,
        "limit": limit,
        "allow_repeats": allow_repeats,
        "explain": explain,
        "event_types": event_types,
        "exclude_event_types": exclude_event_types,
        "filter": filter,
        "filter_values": filter_values,
        "objective": objective,
    }


@app.post("/events")
async def post_events(
    program_id: ProgramId, body: Events, queue_updates: bool = False, process_user_actions: bool = True
) -> Any:
    return {
        "program_id": program_id,
        "events": [
            [
                *(event.user_id, event.event_timestamp, event.event_type, event.asset_id, event.labels),
                *(event.recommendation_id, event.value),
            ]
            for event in body.events
        ],
        "queue_updates": queue_updates,
        "process_user_actions": process_user_actions,
    }


async def echo_user(user_id: UserId, program_id: ProgramId) -> Any:
    return {"user_id": user_id, "program_id": program_id}


Limit = Annotated[int | None, Query(ge=1, le=1000)]
NextToken = Annotated[str | None, Query(max_length=2048)]


async def get_user_page(
    user_id: UserId, program_id: ProgramId, limit: Limit = None, next_token: NextToken = None
) -> Any:
    return {"user_id": user_id, "program_id": program_id, "limit": limit, "next_token": next_token}


app.get("/users/{user_id}/labels")(get_user_page)
app.get("/users/{user_id}/events")(get_user_page)
app.put("/users/{user_id}/rebase")(echo_user)


async def echo_program(program_id: ProgramId) -> Any:
    return {"program_id": program_id}


app.get("/random/user_id")(echo_program)
app.get("/program")(echo_program)
app.put("/program/rebase")(echo_program)
app.get("/program/status")(echo_program)
app.get("/program/model")(echo_program)
app.get("/program/import_locations")(echo_program)
app.put("/program/reset")(echo_program)


async def echo_page(program_id: ProgramId, search: str = "", page: PageNumber = 1, size: PageSize = 50) -> Any:
    return {"program_id": program_id, "search": search, "page": page, "size": size}


app.get("/assets")(echo_page)
app.get("/labels")(echo_page)


@app.post("/assets")
async def post_assets(program_id: ProgramId, body: Assets) -> Any:
    return {"program_id": program_id, "assets": [[row.asset_id, row.asset_name, row.labels] for row in body.assets]}


@app.put("/labels")
async def put_labels(program_id: ProgramId, body: Labels) -> Any:
    return {"program_id": program_id, "labels": [[row.label, row.weight] for row in body.labels]}


@app.get("/programs")
async def get_programs(
    program_id: Annotated[str | None, Header()] = None, limit: Limit = None, next_token: NextToken = None
) -> Any:
    return {"program_id": program_id, "limit": limit, "next_token": next_token}


IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]


@app.post("/programs")
async def post_programs(body: NewProgram, idempotency_key: IdempotencyKey = None) -> Any:
    return {"settings": body.model_dump(), "idempotency_key": idempotency_key}


@app.put("/program")
async def put_program(program_id: ProgramId, body: ProgramChanges) -> Any:
    return {"program_id": program_id, "settings": body.model_dump()}


@app.put("/program/import_locations")
async def put_import_locations(program_id: ProgramId, body: ImportLocations) -> Any:
    return {"program_id": program_id, "import_locations": body.import_locations}


class ServedVersion(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: Annotated[str, Field(max_length=128)] | None = None


@app.put("/program/model")
async def put_program_model(program_id: ProgramId, body: ServedVersion) -> Any:
    return {"program_id": program_id, "version": body.version}


class DecisionReportRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model_version: Annotated[str, Field(pattern="^[0-9]{13}-[0-9a-f]{12}$")] | None = None


app.get("/program/decisions/report")(echo_program)


@app.put("/program/decisions/report")
async def put_decision_report(program_id: ProgramId, body: DecisionReportRequest) -> Any:
    return {"program_id": program_id, "model_version": body.model_version}


class Challenger(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model_version: Annotated[str, Field(pattern="^[0-9]{13}-[0-9a-f]{12}$")] | None = None
    exploration_weight: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    action_weight_floor: Annotated[float, Field(lt=1, allow_inf_nan=False)] | None = None
    event_types: Annotated[list[EventTypeName], Field(min_length=1, max_length=100)] | None = None
    never_recommended: Annotated[list[EventTypeName], Field(max_length=100)] | None = None
    allow_repeats: bool | None = None


LeastEffect = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None


class NewExperiment(BaseModel):
    model_config = ConfigDict(extra="forbid")
    experiment_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")] | None = None
    name: str = Field(min_length=1, max_length=256)
    kind: Literal["holdout", "challenger"]
    share: float = Field(gt=0, lt=1, allow_inf_nan=False)
    horizon_days: Annotated[int, Field(ge=1, le=365)] | None = None
    holdout_list: Literal["popular", "nothing"] = "popular"
    challenger: Challenger | None = None
    headline: Literal["rate", "value"] | None = None
    least_effect: LeastEffect = None


class ExperimentChanges(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(default_factory=str, min_length=1, max_length=256)
    share: float = Field(default_factory=float, gt=0, lt=1, allow_inf_nan=False)
    horizon_days: int = Field(default_factory=int, ge=1, le=365)
    holdout_list: Literal["popular", "nothing"] = "popular"
    challenger: Challenger = Field(default_factory=Challenger)
    headline: Literal["rate", "value"] | None = None
    least_effect: LeastEffect = None


ExperimentId = Annotated[str, Path(max_length=63)]


async def echo_experiment(program_id: ProgramId, experiment_id: ExperimentId) -> Any:
    return {"program_id": program_id, "experiment_id": experiment_id}


app.get("/experiments")(echo_program)
app.get("/experiments/{experiment_id}")(echo_experiment)
app.delete("/experiments/{experiment_id}")(echo_experiment)
app.get("/experiments/{experiment_id}/report")(echo_experiment)
for name in ("start", "stop", "promote", "report", "plan"):
    app.put(f"/experiments/{{experiment_id}}/{name}")(echo_experiment)


@app.post("/experiments")
async def post_experiments(program_id: ProgramId, body: NewExperiment) -> Any:
    return {"program_id": program_id, "experiment": body.model_dump()}


@app.put("/experiments/{experiment_id}")
async def put_experiment(program_id: ProgramId, experiment_id: ExperimentId, body: ExperimentChanges) -> Any:
    return {"program_id": program_id, "experiment_id": experiment_id, "changes": body.model_dump()}


@app.get("/segment")
async def get_segment(
    program_id: ProgramId,
    asset_ids: str = "",
    labels: str = "",
    action_types: str = "",
    match_type: Literal["any", "all"] = "any",
    segment_type: Literal["growth", "discovery", "base"] = "growth",
    min_weight: Weight = 0.5,
    force_refresh: bool = False,
    limit: Annotated[int | None, Query(ge=1, le=5000)] = None,
    after: Annotated[str | None, Query(max_length=256)] = None,
    format: Literal["plain", "csv"] | None = None,
) -> Any:
    return {
        "program_id": program_id,
        "format": format,
        "asset_ids": asset_ids,
        "labels": labels,
        "action_types": action_types,
        "match_type": match_type,
        "segment_type": segment_type,
        "min_weight": min_weight,
        "force_refresh": force_refresh,
        "limit": limit,
        "after": after,
    }


@app.get("/segments")
async def get_segments(
    program_id: ProgramId,
    segment_type: Literal["growth", "discovery", "base"] = "growth",
    segment_basis: Literal["assets", "labels"] = "labels",
    min_weight: Weight = 0.5,
    force_refresh: bool = False,
    page: PageNumber = 1,
    size: PageSize = 50,
) -> Any:
    return {
        "program_id": program_id,
        "segment_type": segment_type,
        "segment_basis": segment_basis,
        "min_weight": min_weight,
        "force_refresh": force_refresh,
        "page": page,
        "size": size,
    }


# Extensions: people's rights, and keys.


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")
    programs: list[Annotated[str, Field(max_length=63)]] = Field(max_length=100)
    scopes: list[Literal["read", "write", "admin"]] = Field(min_length=1, max_length=3)
    name: str = Field(default="", max_length=256, pattern=PRINTABLE)
    ts_expires: AwareDatetime | None = None


KeyId = Annotated[str, Path(max_length=128)]


@app.get("/users/{user_id}/export")
async def export_user(user_id: UserId, program_id: ProgramId, next_token: NextToken = None) -> Any:
    return {"user_id": user_id, "program_id": program_id, "next_token": next_token}


app.delete("/users/{user_id}")(echo_user)


@app.get("/keys")
async def get_keys(limit: Limit = None, next_token: NextToken = None) -> Any:
    return {"limit": limit, "next_token": next_token}


@app.post("/keys")
async def post_keys(body: NewKey, idempotency_key: IdempotencyKey = None) -> Any:
    settings = {**body.model_dump(), "programs": unique(body.programs), "scopes": unique(body.scopes)}
    return {"settings": settings, "idempotency_key": idempotency_key}


def unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


class Rotation(BaseModel):
    model_config = ConfigDict(extra="forbid")
    overlap_seconds: Annotated[int, Field(ge=0, le=7_776_000)] | None = None


@app.put("/keys/{key_id}")
async def rotate_key(
    key_id: KeyId,
    overlap_seconds: Annotated[Annotated[int, Field(ge=0, le=7_776_000)] | None, Query()] = None,
    body: Rotation | None = None,
) -> Any:
    return {"key_id": key_id, "overlap_seconds": overlap_seconds, "body": body and [body.overlap_seconds]}


@app.delete("/keys/{key_id}")
async def revoke_key(key_id: KeyId) -> Any:
    return {"key_id": key_id}


class UserIdConvertor(StringConvertor):
    """A user id with slashes, which FastAPI's own parameters cannot have."""

    regex = "(?s:.)+"


register_url_convertor("user_id", UserIdConvertor())
slashed_app = FastAPI(openapi_url=None, redirect_slashes=False)
"""Ours beyond FastAPI: what answers where the id of a user has slashes."""

slashed_app.get("/users/{user_id:user_id}/actions")(get_actions)
slashed_app.get("/users/{user_id:user_id}/labels")(get_user_page)
slashed_app.get("/users/{user_id:user_id}/events")(get_user_page)
slashed_app.put("/users/{user_id:user_id}/rebase")(echo_user)
slashed_app.get("/users/{user_id:user_id}/export")(export_user)
slashed_app.delete("/users/{user_id:user_id}")(echo_user)


@dataclass(frozen=True, slots=True)
class Call:
    """One request on the wire. ``path`` is decoded once, as both a server and the gateway hand it on."""

    method: str
    path: str
    query_string: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: 500 where FastAPI itself fails."""

    status: int
    content: Any


class Reference:
    """Calls the FastAPI app without a network: one event loop, plain ASGI messages."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.close()

    def __call__(self, call: Call) -> Reply:
        try:
            reply = self._loop.run_until_complete(_exchange(app, call))
            # DELETE takes the whole path for the id: to follow a redirect could delete another user.
            if reply.status == 404 or (call.method == "DELETE" and call.path.startswith("/users/")):
                slashed = self._loop.run_until_complete(_exchange(slashed_app, call))
                reply = reply if slashed.status in (404, 405) else slashed
            return reply
        except (
            ValueError,
            RecursionError,
        ):  # an input that FastAPI cannot write back: NaN, lone surrogates, deep nesting
            return Reply(500, None)


async def _exchange(app: FastAPI, call: Call) -> Reply:
    sent: list[Any] = []
    received: Iterable[dict[str, Any]] = iter([{"type": "http.request", "body": call.body, "more_body": False}])

    async def receive() -> Any:
        return next(iter(received), {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode(),
        "root_path": "",
        "query_string": call.query_string.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return Reply(sent[0]["status"], json.loads(content) if content else None)
