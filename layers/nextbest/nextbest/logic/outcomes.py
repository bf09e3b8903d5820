"""The events of a program with what they are worth as outcomes (``domain/outcomes.py``)."""

from __future__ import annotations

from collections.abc import Iterator

from nextbest.domain.events import Event
from nextbest.domain.outcomes import action_value_of, outcome_value
from nextbest.domain.programs import Program
from nextbest.store.base import Store


def valued_events(store: Store, program: Program) -> Iterator[tuple[Event, float]]:
    """All events of the log, in no particular order, each with its value as an outcome; 0 where it is none."""
    action_values = {asset.asset_id: action_value_of(asset) for asset in store.assets(program.incarnation)}
    for event in store.scan_logged_events(program.incarnation):
        yield event, outcome_value(program, event.event_type, event.event_value, action_values.get(event.asset_id))
