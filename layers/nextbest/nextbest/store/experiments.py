"""Experiments in DynamoDB: an item each, like named resources, and a copy of those that run in the program's own item.

Requests read the program's item anyway, so experiments that run cost them no read. Every change writes both items in
one transaction, on the condition that they are what the change was made from: of two changes at once one is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from nextbest.aws.table import Item, ItemKey, Table, WriteRefused, data, key_of, to_json
from nextbest.domain.experiments import Experiment, ExperimentState
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import AlreadyExists, InUse, NotFound, ProgramNotFound
from nextbest.store import keys
from nextbest.store.base import EXPERIMENT, ExperimentChange, ProgramState
from nextbest.store.configuration import (
    EXPERIMENTS,
    UNCHANGED,
    decode_program,
    program_key,
    settings_json,
    while_it_lives,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


class Experiments:
    """The experiments of the programs in one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create_experiment(self, incarnation: Incarnation, experiment: Experiment) -> None:
        """Store a new experiment. Raises AlreadyExists."""
        attributes: Item = {"body_json": {"S": to_json(experiment.to_json())}}
        try:
            self._table.put(_key(incarnation, experiment.experiment_id), attributes, only_new=True)
        except WriteRefused as refused:
            raise AlreadyExists(f"experiment {experiment.experiment_id} exists already") from refused

    def experiment(self, incarnation: Incarnation, experiment_id: str) -> Experiment:
        """An experiment of a program. Raises NotFound."""
        item = self._table.get(_key(incarnation, experiment_id))
        if item is None:
            raise _missing(experiment_id)
        return Experiment.from_json(data(item))

    def experiments(self, incarnation: Incarnation) -> Iterator[Experiment]:
        """All experiments of a program, in order of their ids."""
        for item in self._table.query(keys.resources_pk(incarnation), prefix=keys.resource_prefix(EXPERIMENT)):
            yield Experiment.from_json(data(item))

    def change_experiment(
        self,
        incarnation: Incarnation,
        experiment_id: str,
        change: Callable[[ProgramState, Experiment], ExperimentChange],
    ) -> None:
        """Write what ``change`` makes of an experiment and of its program.

        Raises NotFound, InUse where another change was made meanwhile, and what ``change`` raises.
        """
        place, program_place = _key(incarnation, experiment_id), program_key(program_id_of(incarnation))
        items = self._table.get_many([place, program_place])
        state = decode_program(items.get(program_place))
        if state is None or state.program.incarnation != incarnation:
            raise ProgramNotFound(program_id_of(incarnation))
        if place not in items:
            raise _missing(experiment_id)
        changed = change(state, Experiment.from_json(data(items[place])))
        operations: list[TransactWriteItemTypeDef] = [
            self._write(place, items[place], changed.experiment),
            self._write_program(incarnation, items[program_place], state, experiment_id, changed),
        ]
        try:
            self._table.transact(operations)
        except WriteRefused as refused:
            problem = f"experiment {experiment_id} or its program was changed at the same time; read it again"
            raise InUse(problem) from refused

    def _write(self, place: ItemKey, item: Item, experiment: Experiment | None) -> TransactWriteItemTypeDef:
        """Replace the experiment's item; None deletes it."""
        values: Item = {":old": item["body_json"]}
        if experiment is None:
            return {
                "Delete": {
                    "TableName": self._table.name,
                    "Key": key_of(place),
                    "ConditionExpression": "body_json = :old",
                    "ExpressionAttributeValues": values,
                }
            }
        return {
            "Put": {
                "TableName": self._table.name,
                "Item": {**key_of(place), "body_json": {"S": to_json(experiment.to_json())}},
                "ConditionExpression": "body_json = :old",
                "ExpressionAttributeValues": values,
            }
        }

    def _write_program(
        self,
        incarnation: Incarnation,
        item: Item,
        state: ProgramState,
        experiment_id: str,
        changed: ExperimentChange,
    ) -> TransactWriteItemTypeDef:
        """Change the program's item as far as the change concerns it, or check that it is as it was."""
        alive, alive_values = while_it_lives(incarnation)
        values = dict(alive_values)
        conditions = [alive, f"attribute_not_exists({EXPERIMENTS})"]
        if EXPERIMENTS in item:
            conditions[-1] = f"{EXPERIMENTS} = :running"
            values[":running"] = item[EXPERIMENTS]
        running = [entry for entry in state.experiments if entry.experiment_id != experiment_id]
        if changed.experiment is not None and changed.experiment.state is ExperimentState.RUNNING:
            running.append(changed.experiment)
        updates, removals = [], []
        if not running and EXPERIMENTS in item:
            removals.append(EXPERIMENTS)
        elif tuple(running) != state.experiments:
            updates.append(f"{EXPERIMENTS} = :run")
            values[":run"] = {"S": to_json([entry.to_json() for entry in running])}
        if changed.program is not None:
            updates.append("body_json = :settings")
            removals.append(UNCHANGED)
            conditions.append("body_json = :body")
            values |= {":settings": {"S": settings_json(changed.program)}, ":body": item["body_json"]}
        if changed.model is not None:
            updates += ["previous_model_json = :model", "model_json = :promoted"]
            conditions.append("model_json = :model")
            values |= {":promoted": {"S": to_json(asdict(changed.model))}, ":model": item["model_json"]}
        program_place = key_of(program_key(program_id_of(incarnation)))
        expression = " ".join(
            f"{verb} {', '.join(parts)}" for verb, parts in (("SET", updates), ("REMOVE", removals)) if parts
        )
        condition = " AND ".join(conditions)
        if not expression:
            return {
                "ConditionCheck": {
                    "TableName": self._table.name,
                    "Key": program_place,
                    "ConditionExpression": condition,
                    "ExpressionAttributeValues": values,
                }
            }
        return {
            "Update": {
                "TableName": self._table.name,
                "Key": program_place,
                "UpdateExpression": expression,
                "ConditionExpression": condition,
                "ExpressionAttributeValues": values,
            }
        }


def _key(incarnation: Incarnation, experiment_id: str) -> ItemKey:
    return ItemKey(keys.resources_pk(incarnation), keys.resource_sk(EXPERIMENT, experiment_id))


def _missing(experiment_id: str) -> NotFound:
    return NotFound(f"experiment {experiment_id} does not exist")
