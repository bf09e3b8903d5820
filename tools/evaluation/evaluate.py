"""``./nextbest evaluate FILE``: our model against the classic methods on one event file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from tools.evaluation.evaluation import Evaluation, Targets
from tools.evaluation.events import read_events
from tools.evaluation.results import table_text


def run(
    file: Path,
    *,
    test_share: float,
    time_budget_seconds: float,
    users: int,
    targets: Targets,
    seed: int,
    plots: Path | None = None,
    json_file: Path | None = None,
) -> None:
    """Evaluate on one file, print the table, and write the plots and the report where wanted."""
    evaluation = Evaluation(
        read_events(file),
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
    if json_file is not None:
        content = {"rows": [asdict(row) for row in rows], "report": dict(model.report)}
        json_file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    if plots is not None:
        from tools.evaluation.plots import save_plots  # matplotlib is for the command alone

        for path in save_plots(rows, model.report, plots, file.name.split(".")[0]):
            print(path)
