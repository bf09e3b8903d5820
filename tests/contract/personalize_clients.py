"""Stock AWS clients of Personalize against a local stack."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"

USERS = {
    "type": "record", "name": "Users", "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "MEMBERSHIP", "type": ["null", "string"], "categorical": True},
        {"name": "AGE", "type": ["null", "int"]},
    ],
}  # fmt: skip
ITEMS = {
    "type": "record", "name": "Items", "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "GENRE", "type": ["null", "string"], "categorical": True},
        {"name": "CREATION_TIMESTAMP", "type": "long"},
    ],
}  # fmt: skip
INTERACTIONS = {
    "type": "record", "name": "Interactions", "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}  # fmt: skip
ACTIONS = {
    "type": "record", "name": "Actions", "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
    "fields": [
        {"name": "ACTION_ID", "type": "string"},
        {"name": "VALUE", "type": ["null", "long"]},
        {"name": "TIER", "type": ["null", "string"], "categorical": True},
        {"name": "CREATION_TIMESTAMP", "type": "long"},
        {"name": "ACTION_EXPIRATION_TIMESTAMP", "type": ["null", "long"]},
        {"name": "REPEAT_FREQUENCY", "type": ["long", "null"]},
    ],
}  # fmt: skip
ACTION_INTERACTIONS = {
    "type": "record", "name": "ActionInteractions", "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ACTION_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}  # fmt: skip
SCHEMAS = {
    "Interactions": INTERACTIONS,
    "Items": ITEMS,
    "Users": USERS,
    "Actions": ACTIONS,
    "Action_Interactions": ACTION_INTERACTIONS,
}


@dataclass(frozen=True, slots=True)
class Personalize:
    """The three clients, as a script gets them. The stubs of boto3 do not cover these services, hence ``Any``."""

    control: Any
    runtime: Any
    events: Any

    @classmethod
    def at(cls, url: str, key: str) -> Personalize:
        """Clients that only know another ``endpoint_url`` and credentials; ``key`` is an ``actionhub-key``."""
        make: Any = boto3.client
        key_id, _, secret = key.partition(".")
        clients = (
            make(
                service,
                endpoint_url=f"{url}/personalize",
                region_name=REGION,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
            )
            for service in ("personalize", "personalize-runtime", "personalize-events")
        )
        return cls(*clients)

    def close(self) -> None:
        for client in (self.control, self.runtime, self.events):
            client.close()

    def recommend(self, campaign: str, user_id: str, **more: Any) -> dict[str, float]:
        """Scores by action id, in the order of the answer."""
        answer = self.runtime.get_action_recommendations(campaignArn=arn("campaign", campaign), userId=user_id, **more)
        return {entry["actionId"]: entry["score"] for entry in answer["actionList"]}

    def take(self, tracking_id: str, user_id: str, *actions: str, at: int, event_type: str = "Taken") -> None:
        """Put one interaction of the user with each action."""
        for start in range(0, len(actions), 10):
            self.events.put_action_interactions(
                trackingId=tracking_id,
                actionInteractions=[
                    {
                        "actionId": action,
                        "userId": user_id,
                        "sessionId": f"session-of-{user_id}",
                        "timestamp": at,
                        "eventType": event_type,
                    }
                    for action in actions[start : start + 10]
                ],
            )

    def put_action(self, program_id: str, action_id: str, **properties: object) -> None:
        """Put one action into a program's dataset."""
        record = {"actionId": action_id, "properties": json.dumps(properties)}
        self.events.put_actions(datasetArn=arn("dataset", f"{program_id}/ACTIONS"), actions=[record])


def arn(kind: str, name: str) -> str:
    """An ARN, built from a name as scripts do."""
    return f"arn:aws:personalize:{REGION}:{ACCOUNT_ID}:{kind}/{name}"


def error_of(error: ClientError) -> tuple[str, int]:
    """Code and status of an error."""
    return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
