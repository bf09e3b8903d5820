"""Operating programs: creating them, their settings, assets, labels and what is known of their users."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from nextbest.domain.access_keys import PROGRAM_ID, SCOPES, issue_key
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import Event
from nextbest.domain.programs import Program
from nextbest.errors import InvalidInput, NotFound
from nextbest.store.base import ProgramState, Store


def create_program(store: Store, program: Program, *, master_secret: str, random: Random, now: float) -> str:
    """Create a program and the key that opens it; the key's text, told only now. Raises AlreadyExists, InvalidInput."""
    if not PROGRAM_ID.fullmatch(program.program_id):
        raise InvalidInput(
            "program_id must be 1 to 63 letters, digits, '-' or '_', beginning with a letter or digit",
            field="program_id",
        )
    store.create_program(program)
    key, text = issue_key(master_secret, new_key_id(random), programs=(program.program_id,), scopes=SCOPES)
    store.put_access_key(replace(key, name=program.program_name, created_at=now))
    return text


def new_key_id(random: Random) -> str:
    """A fresh key id, in the form of an AWS access key id, so that every SDK takes it."""
    return "NBK" + "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=17))


def program_id_for(name: str, *, random: Random) -> str:
    """A program id made from a name: readable, and with 32 random bits so that names may repeat."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48] or "program"
    return f"{slug}-{random.getrandbits(32):08x}"


def label_weights(
    state: ProgramState, catalogue: Catalogue, events: Sequence[Event], *, now: float
) -> dict[str, float]:
    """Weights of the labels in a user's events: Σ 0.5^(age_days / half_life_days) over the events that carry the label.

    An event carries its own labels and those of its asset, each once; a weight set by the operator multiplies.
    Source: ActionHub contract, "Label weight of a user".
    """
    if not events:
        raise NotFound("User not found")
    weights: dict[str, float] = {}
    half_life_seconds = state.program.half_life_days * 86_400.0
    for event in events:
        asset = catalogue.assets.get(event.asset_id)
        weight = 0.5 ** ((now - event.timestamp) / half_life_seconds)
        for label in {*event.labels, *(asset.labels if asset else ())}:
            weights[label] = weights.get(label, 0.0) + weight
    return {label: weight * state.label_weights.get(label, 1.0) for label, weight in weights.items()}
