"""The yardstick ``usual``, a common design: FastAPI behind Mangum, boto3's resource, and one row for each event.

It answers from the very same model, through the same scoring, so the difference is the way there and back.
"""

from __future__ import annotations

import os
import time
from decimal import Decimal
from typing import Annotated, Any

import boto3
from boto3.dynamodb.conditions import Key
from fastapi import FastAPI, Header, HTTPException, Query
from mangum import Mangum
from pydantic import BaseModel

from nextbest.domain.actions import Action
from nextbest.domain.history import History, HistoryEvent
from nextbest.scoring import Model, recommend

TABLE = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
BUCKET = boto3.resource("s3").Bucket(os.environ["ARTIFACT_BUCKET"])
MODELS: dict[str, Model] = {}

app = FastAPI()


class UserNextAction(BaseModel):
    """One recommended action."""

    event_type: str
    asset_id: str
    asset_name: str
    growth_weight: float
    base_weight: float


class UserNextActionList(BaseModel):
    """What a user should do next."""

    actions: list[UserNextAction]


class UserEvent(BaseModel):
    """One event."""

    user_id: str
    event_timestamp: float
    event_type: str
    asset_id: str
    labels: list[str]


class UserEvents(BaseModel):
    """A batch of events."""

    events: list[UserEvent]


def opened_program(actionhub_key: str, program_id: str) -> dict[str, Any]:
    """The program's row, after a check of its key."""
    program: dict[str, Any] | None = TABLE.get_item(Key={"pk": f"usual#{program_id}", "sk": "program"}).get("Item")
    if program is None or program["key"] != actionhub_key:
        raise HTTPException(403, "Could not validate API KEY")
    return program


@app.get("/users/{user_id}/actions")
def get_actions(
    user_id: str,
    actionhub_key: Annotated[str, Header()],
    program_id: Annotated[str, Header()],
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    allow_repeats: bool = True,
) -> UserNextActionList:
    """Recommend actions to a user."""
    program = opened_program(actionhub_key, program_id)
    if program["model"] not in MODELS:
        MODELS[program["model"]] = Model.from_bytes(BUCKET.Object(program["model"]).get()["Body"].read())
    rows: list[dict[str, Any]] = []
    start: dict[str, Any] = {}
    while True:
        page = TABLE.query(KeyConditionExpression=Key("pk").eq(f"usual#{program_id}#{user_id}"), **start)
        rows += page["Items"]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    if not rows:
        raise HTTPException(404, "User history not found")
    history = History.from_history_events(
        HistoryEvent(int(row["timestamp_us"]), Action(row["event_type"], row["asset_id"])) for row in rows
    )
    recommendations = recommend(
        MODELS[program["model"]], history, now=time.time(), limit=limit, allow_repeats=allow_repeats
    )
    return UserNextActionList(
        actions=[
            UserNextAction(
                event_type=entry.event_type,
                asset_id=entry.asset_id,
                asset_name=entry.asset_id,
                growth_weight=entry.growth_weight,
                base_weight=entry.base_weight,
            )
            for entry in recommendations
        ]
    )


@app.post("/events")
def post_events(
    body: UserEvents, actionhub_key: Annotated[str, Header()], program_id: Annotated[str, Header()]
) -> dict[str, str]:
    """Store events, a row each."""
    opened_program(actionhub_key, program_id)
    with TABLE.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
        for event in body.events:
            timestamp_us = round(event.event_timestamp * 1_000_000)
            batch.put_item(
                Item={
                    "pk": f"usual#{program_id}#{event.user_id}",
                    "sk": f"{timestamp_us:020d}#{event.event_type}#{event.asset_id}",
                    "timestamp_us": Decimal(timestamp_us),
                    "event_type": event.event_type,
                    "asset_id": event.asset_id,
                    "labels": event.labels,
                }
            )
    return {"result": "ok"}


handler = Mangum(app, lifespan="off")
