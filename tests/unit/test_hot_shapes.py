"""The shapes that are written out, because a hot function cannot wait for a model, are those of AWS's model."""

from __future__ import annotations

import pytest

from nextbest.personalize.events.interactions import PUT_ACTION_INTERACTIONS, PUT_EVENTS
from nextbest.personalize.events.records import PUT_ACTIONS, PUT_ITEMS, PUT_USERS
from nextbest.personalize.protocol.model_shapes import input_shape
from nextbest.personalize.protocol.shapes import Listing, Members, Text, Whole
from nextbest.personalize.runtime.action_recommendations import GET_ACTION_RECOMMENDATIONS
from tests.infrastructure.cloudformation import ROOT


@pytest.mark.parametrize(
    ("operation", "shape"),
    [
        ("PutActionInteractions", PUT_ACTION_INTERACTIONS),
        ("PutEvents", PUT_EVENTS),
        ("PutActions", PUT_ACTIONS),
        ("PutUsers", PUT_USERS),
        ("PutItems", PUT_ITEMS),
    ],
)
def test_events_are_checked_as_the_model_says(operation: str, shape: Members) -> None:
    assert shape == input_shape("personalize-events", operation)


def test_requests_for_recommendations_are_checked_more_strictly_than_the_model_says() -> None:
    model = input_shape("personalize-runtime", "GetActionRecommendations")
    assert model.required == ()

    # AWS's documentation requires both members and has a maximum (docs/contracts/personalize.md); its model does not.
    expected = {name: shape for name, shape in model.members.items() if name not in ("userId", "numResults")}
    assert model.members["userId"] == Text(0, 256)
    assert model.members["numResults"] == Whole(0, None)
    assert GET_ACTION_RECOMMENDATIONS.required == ("campaignArn", "userId")
    assert GET_ACTION_RECOMMENDATIONS.members == {**expected, "userId": Text(1, 256), "numResults": Whole(0, 100)}


# What the recipe does not use is checked, and docs/personalize.md says that nothing comes of it.
CHECKED_ALONE = {"impression", "metricAttribution", "properties"}
ACTING = {
    "PutActionInteractions": "trackingId actionId userId sessionId timestamp eventType eventId recommendationId",
    "PutEvents": "trackingId userId sessionId eventId eventType eventValue itemId sentAt recommendationId",
    "PutActions": "datasetArn actionId properties",
    "PutUsers": "datasetArn userId properties",
    "PutItems": "datasetArn itemId properties",
}


@pytest.mark.parametrize("operation", ACTING)
def test_every_member_of_an_event_is_honoured_or_said_to_be_checked_alone(operation: str) -> None:
    shape = input_shape("personalize-events", operation)
    (rows,) = (member for member in shape.members.values() if isinstance(member, Listing))
    assert isinstance(rows.of, Members)
    names = {name for name, member in shape.members.items() if not isinstance(member, Listing)} | set(rows.of.members)

    assert names - CHECKED_ALONE == set(ACTING[operation].split()) - CHECKED_ALONE
    text = (ROOT / "docs" / "personalize.md").read_text()
    for name in names - set(ACTING[operation].split()):
        assert f"`{name}`" in text
