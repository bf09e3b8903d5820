"""What the local stack adds to its database engine."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.store.conftest import create_table, dynamodb
from tools.local.engines import Engines, index_segments, start_engines
from tools.local.processes import Processes


def test_segments_are_found_by_an_index(tmp_path: Path) -> None:
    # Given a stack's engines, whose table is indexed twice, as at every start
    with closing(Processes()) as processes:
        engines: Engines = start_engines(processes, state=tmp_path, logs=tmp_path)
        table = create_table(dynamodb(engines.dynamodb_url), "events")
        for number in range(30):
            table.client.put_item(TableName="events", Item={"pk": {"S": f"p{number}"}, "sk": {"S": "s"}})
        for _ in range(2):
            index_segments(tmp_path, ["events"])

        # When items are written and read afterwards
        table.client.put_item(TableName="events", Item={"pk": {"S": "p30"}, "sk": {"S": "s"}})
        items = [item for part in range(8) for item in table.scan("p", projection="pk", segment=(part, 8))]

        # Then none is missing, and the database looks them up
        assert sorted(item["pk"]["S"] for item in items) == sorted(f"p{number}" for number in range(31))
        with closing(sqlite3.connect(tmp_path / "dynamodb.sqlite")) as database:
            plan = database.execute(
                'EXPLAIN QUERY PLAN SELECT pk FROM "events" WHERE substr(hash_prefix, 1, 3) >= ? '
                "AND substr(hash_prefix, 1, 3) <= ?",
                ("000", "1ff"),
            ).fetchall()
        assert "events_segments" in str(plan)
