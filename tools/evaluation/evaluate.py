"""``./nextbest evaluate FILE``: our model against the classic methods on files of events."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from nextbest.errors import FileUnusable
from nextbest.event_files.rows import RowRules
from tools.cli.load_rejects import reason_lines
from tools.evaluation.evaluation import Evaluation, Targets
from tools.evaluation.events import read_events
from tools.evaluation.results import Row, table_text

FEWEST_TEST_USERS = 100
"""With fewer, differences between methods are mostly chance: the standard error of NDCG@10 is about .03 and more."""

EVALUATED, ROWS_REJECTED, NOT_EVALUATED = 0, 1, 2
"""The exit statuses of an evaluation, as those of a load."""


def run(
    files: Sequence[Path],
    rules: RowRules,
    *,
    test_share: float,
    time_budget_seconds: float,
    users: int,
    targets: Targets,
    seed: int,
    plots: Path | None = None,
    json_file: Path | None = None,
    allow_rejects: bool = False,
) -> int:
    """Evaluate on the events of all ``files`` together, print the table, and write the plots and the report where
    wanted; the exit status."""
    try:
        events, counts = read_events(files, rules)
    except FileUnusable as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return NOT_EVALUATED
    print(
        "\n  ".join([f"{counts.accepted:,} events, {counts.rejected:,} rows rejected", *reason_lines(counts, "line")])
    )
    if not counts.accepted:
        print("evaluate: no row is an event", file=sys.stderr)
        return NOT_EVALUATED
    evaluation = Evaluation(
        events,
        test_share=test_share,
        time_budget_seconds=time_budget_seconds,
        seed=seed,
        users=users,
        targets=targets,
    )
    with tqdm(total=evaluation.method_count(), unit="method") as bar:

        def progress(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        rows, model = evaluation.run(progress)
    print(table_text(rows))
    for line in _cautions(rows):
        print(line)
    if json_file is not None:
        content = {"rows": [asdict(row) for row in rows], "report": dict(model.report)}
        json_file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    if plots is not None:
        from tools.evaluation.plots import save_plots  # matplotlib is for the command alone

        for path in save_plots(rows, model.report, plots, files[0].name.split(".")[0]):
            print(path)
    return ROWS_REJECTED if counts.rejected and not allow_rejects else EVALUATED


def _cautions(rows: Sequence[Row]) -> list[str]:
    """A sentence for each mode that too few users could be judged on."""
    judged = {row.mode: row.metrics.users for row in rows}
    return [
        f"{mode}: judged on {users:,} users, those known before the test window who took something in it that counts; "
        + (
            "differences between methods are mostly chance"
            if users
            else "nothing can be said: more events, or a larger --test-share, are needed"
        )
        for mode, users in judged.items()
        if users < FEWEST_TEST_USERS
    ]
