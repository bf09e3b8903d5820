"""The data of ``./nextbest bench``: programs with a model, a catalogue and users, and the same users as rows.

Everything is drawn from a seed. Models are not trained but drawn too, in the shape that training gives them (terms,
weights kept, bytes), so that a catalogue of 100,000 actions costs seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextbest.aws.table import Table
from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import Event
from nextbest.domain.programs import Program
from nextbest.filters import Schema, bind, parse
from nextbest.filters.stored import schema_to_json
from nextbest.personalize.protocol.arns import FILTER
from nextbest.scoring import Model
from nextbest.scoring.calibration import ACTIVITY_NAMES, Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Influence, Mode, Term
from nextbest.store.artifacts import S3Artifacts
from nextbest.store.base import CataloguePointer, ModelPointer
from nextbest.store.dynamo import DynamoStore
from nextbest.store.histories import FOLD_AT
from nextbest.store.keys import HISTORY, TAIL, user_pk
from tools.local.key import operator_key

EVENT_TYPE = "order"
HISTORY_DAYS = 365
# Training keeps as many influences per action as stay near this, between 16 and 200.
INFLUENCE_BYTES = 8_000_000
FILTER_EXPRESSION = (
    'INCLUDE ActionID WHERE Actions.TIER IN ("gold", "silver") AND Actions.PRICE < $PRICE '
    '| EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("NOT_TAKEN")'
)
FILTER_VALUES = {"PRICE": "900"}


@dataclass(frozen=True, slots=True)
class World:
    """One program with ``actions`` actions, and its users' ids by the number of events in their histories.

    Of each number, the first user is in the yardsticks' rows too.
    """

    program_id: str
    actions: int
    users: dict[int, tuple[str, ...]]
    model_bytes: int


def build_world(
    table: Table, artifacts: S3Artifacts, *, actions: int, histories: Sequence[int], users: int, now: float
) -> World:
    """Store a program with its model, catalogue, filter and so many ``users`` for each length of history, and the
    yardsticks' rows of one of them."""
    random = np.random.default_rng(actions)
    store = DynamoStore(table)
    program = Program(f"bench{actions}", half_life_days=90)
    store.create_program(program)
    data = draw_model(program, actions, random, now).to_bytes()
    store.point_to_model(program.incarnation, _put(artifacts, program.program_id, data))
    _put_catalogue(store, artifacts, program, actions, random)
    user_ids = {count: tuple(f"user-{count}-{number}" for number in range(users)) for count in histories}
    for count, same_length in user_ids.items():
        for number, user_id in enumerate(same_length):
            events = draw_events(user_id, count, actions, random, now)
            # A read gets half a tail on average.
            settled = max(0, count - FOLD_AT // 2)
            store.append(program, events[:settled])
            store.append(program, events[settled:])
            if not number:
                _put_yardstick_rows(table, program, user_id, events)
    _, key = operator_key()
    row = {"key": {"S": key}, "model": {"S": f"models/{program.program_id}"}}
    table.client.put_item(
        TableName=table.name, Item={"pk": {"S": f"usual#{program.program_id}"}, "sk": {"S": "program"}, **row}
    )
    return World(program.program_id, actions, user_ids, len(data))


def draw_model(program: Program, actions: int, random: np.random.Generator, now: float) -> Model:
    """A model in the shape of a trained one: prior, personal weights, and two influences of unlike kernels."""

    def influence() -> Influence:
        kept = min(actions, int(np.clip(INFLUENCE_BYTES / 4 / actions / 4, 16, 200)))
        columns = np.sort(random.integers(actions, size=(actions, kept)), axis=1).ravel()
        return Influence(
            np.arange(actions + 1, dtype=np.int64) * kept,
            columns.astype(np.uint16) if actions <= 65_536 else columns.astype(np.uint32),
            random.random(actions * kept).astype(np.float16),
            0.3,
        )

    def mode(*, with_self: bool) -> Mode:
        own = Term("own", Kernel(scale=30.0), random.random(actions).astype(np.float32)) if with_self else None
        kernels = (Kernel("rank", scale=20.0), Kernel("time", scale=90.0, damping=0.5))
        learned = (Term("transitions", kernel, None, influence()) for kernel in kernels)
        terms = (*((own,) if own else ()), *learned)
        knots = np.linspace(0.0, 30.0, 50)
        levels = np.linspace(-6.0, 2.0, 50)
        calibration = Calibration(knots, levels, 1.0, np.zeros(len(ACTIVITY_NAMES)), 0.0, levels, levels)
        return Mode((random.random(actions) * 0.1).astype(np.float32), terms, calibration)

    return Model(
        [Action(EVENT_TYPE, asset_id(number)) for number in range(actions)],
        mode(with_self=True),
        mode(with_self=False),
        program.half_life_days,
        program.horizon_days,
        program.action_weight_floor,
        now,
    )


def draw_events(user_id: str, count: int, actions: int, random: np.random.Generator, now: float) -> list[Event]:
    """Events of one user, oldest first: favourites among the actions, and a long tail."""
    numbers = (actions * random.random(count) ** 3).astype(np.int64)
    times = np.sort(now - HISTORY_DAYS * DAY_SECONDS * random.random(count))
    return [
        Event(user_id, round(time * 1_000_000), EVENT_TYPE, asset_id(number))
        for number, time in zip(numbers.tolist(), times.tolist(), strict=True)
    ]


def asset_id(number: int) -> str:
    return f"asset-{number:06d}"


def _put(artifacts: S3Artifacts, program_id: str, data: bytes) -> ModelPointer:
    pointer = ModelPointer("0000000000001", f"models/{program_id}")
    artifacts.put(pointer.key, data)
    return pointer


def _put_catalogue(
    store: DynamoStore, artifacts: S3Artifacts, program: Program, actions: int, random: np.random.Generator
) -> None:
    tiers = random.choice(["gold", "silver", "tin", "gold|tin"], actions).tolist()
    prices = random.integers(1, 1000, actions).tolist()
    assets = [
        Asset(asset_id(number), f"Asset {number}", (), {"TIER": tier, "PRICE": price})
        for number, (tier, price) in enumerate(zip(tiers, prices, strict=True))
    ]
    # One change through the front door sets the revision; the written catalogue of that revision holds all.
    revision = store.put_assets(program.incarnation, assets[:1])
    pointer = CataloguePointer(revision, f"catalogues/{program.program_id}")
    catalogue = Catalogue(revision, {asset.asset_id: asset for asset in assets})
    artifacts.put(pointer.key, catalogue.encode())
    store.point_to_catalogue(program.incarnation, pointer)
    bound = bind(parse(FILTER_EXPRESSION), Schema.observed(assets))
    resource = {
        "name": program.program_id,
        "program_id": program.program_id,
        "expression": FILTER_EXPRESSION,
        "status": "ACTIVE",
        "schema": schema_to_json(bound),
    }
    store.create_resource(program.incarnation, FILTER, program.program_id, resource)


def _put_yardstick_rows(table: Table, program: Program, user_id: str, events: Sequence[Event]) -> None:
    """The floor's one item, with as many bytes as the packed history; and the usual design's row per event."""
    items = table.client.batch_get_item(
        RequestItems={table.name: {"Keys": [_history_key(program, user_id, sk) for sk in (HISTORY, TAIL)]}}
    )["Responses"][table.name]
    size = sum(len(item["packed"]["B"]) if "packed" in item else 0 for item in items)
    size += sum(len(member) for item in items for member in item.get("tail_events", {}).get("BS", []))
    packed = np.random.default_rng(size).bytes(size)
    table.client.put_item(
        TableName=table.name,
        Item={"pk": {"S": f"floor#{program.program_id}#{user_id}"}, "sk": {"S": "item"}, "packed": {"B": packed}},
    )
    for event in events:
        table.client.put_item(
            TableName=table.name,
            Item={
                "pk": {"S": f"usual#{program.program_id}#{user_id}"},
                "sk": {"S": f"{event.timestamp_us:020d}#{event.event_type}#{event.asset_id}"},
                "timestamp_us": {"N": str(event.timestamp_us)},
                "event_type": {"S": event.event_type},
                "asset_id": {"S": event.asset_id},
                "labels": {"L": []},
            },
        )


def _history_key(program: Program, user_id: str, sk: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": user_pk(program.incarnation, user_id)}, "sk": {"S": sk}}
