"""``python -m tools.evaluation FILE``: our model against the classic methods on one event file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from nextbest.training.plan import TIME_BUDGET_SECONDS
from tools.evaluation.evaluation import Evaluation, Targets
from tools.evaluation.events import read_events
from tools.evaluation.results import table_text


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.evaluation", description="Evaluate the model against the classic methods."
    )
    parser.add_argument("file", type=Path, help="CSV or CSV.GZ: user_id,event_type,asset_id,timestamp")
    parser.add_argument("--test-share", type=float, default=0.1, help="share of the events in the test window")
    parser.add_argument("--time-budget-seconds", type=float, default=TIME_BUDGET_SECONDS)
    parser.add_argument("--users", type=int, default=3000, help="most users in the test window, drawn at random")
    parser.add_argument(
        "--targets",
        choices=get_args(Targets),
        default="window",
        help="what to predict: the whole window, or what came next",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plots", type=Path, help="folder for the PNG plots")
    parser.add_argument("--json", type=Path, help="file for the table and the training report")
    options = parser.parse_args(arguments)
    evaluation = Evaluation(
        read_events(options.file),
        test_share=options.test_share,
        time_budget_seconds=options.time_budget_seconds,
        seed=options.seed,
        users=options.users,
        targets=options.targets,
    )
    with tqdm(total=evaluation.method_count(), unit="method") as bar:

        def progress(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        rows, model = evaluation.run(progress)
    print(table_text(rows))
    if options.json:
        content = {"rows": [asdict(row) for row in rows], "report": dict(model.report)}
        options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    if options.plots:
        from tools.evaluation.plots import save_plots  # matplotlib is for the command alone

        for path in save_plots(rows, model.report, options.plots, options.file.name.split(".")[0]):
            print(path)


if __name__ == "__main__":
    main()
