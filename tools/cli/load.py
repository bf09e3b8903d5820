"""Loads files of events into a program, through the public API.

    ./nextbest load events.csv.gz --program shop

Files are CSV, TSV, JSON Lines or Parquet; text may be packed with gzip or zstd (docs/tutorial.md has the columns and
the rules). They are read to the end once, so that a damaged file is found before anything is sent, and then streamed,
never held in memory as a whole. A small progress file lets the same command go on after an interruption; sending a row
twice would do no harm either, because the same event is stored once.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import urllib3
from tqdm import tqdm

from nextbest.errors import FileUnusable
from nextbest.event_files.content import is_parquet
from nextbest.event_files.reader import RejectedRow, check_file, read_rows
from nextbest.event_files.row_counts import Counts
from nextbest.event_files.rows import RowRules
from tools.cli.event_files import expand_files
from tools.cli.load_batches import LARGEST_BATCH, Batch, batches_of
from tools.cli.load_client import PostResult, Server
from tools.cli.load_errors import Interrupted, LoadError
from tools.cli.load_progress import Progress, progress_path
from tools.cli.load_rejects import open_rejects, reason_lines

LOADED, ROWS_REJECTED, NOT_LOADED, STOPPED = 0, 1, 2, 130
"""The exit statuses of a load."""


def load(
    path: Path,
    server: Server,
    rules: RowRules,
    *,
    progress_file: Path,
    stop: threading.Event,
    batch_size: int = LARGEST_BATCH,
    workers: int = 2,
    process_user_actions: bool = True,
    report: Callable[[Batch], object] = lambda _: None,
    reject: Callable[[RejectedRow], object] = lambda _: None,
) -> Counts:
    """Send what is not sent yet, ``workers`` batches at a time, and return the counts of the whole file.

    The progress file is updated after each batch and removed at the end; however a load is interrupted, what the server
    has confirmed is saved first. ``stop`` is set when the load fails, so that workers end their pauses. ``report`` is
    called with each batch that is done, ``reject`` with each row that is rejected. Raises LoadError and FileUnusable.
    """
    progress = Progress.read(progress_file)
    pending: dict[Future[PostResult], Batch] = {}
    executor = ThreadPoolExecutor(workers, thread_name_prefix="load")

    def settle(futures: Iterable[Future[PostResult]]) -> list[Batch]:
        batches = []
        for future in futures:
            result = future.result()
            counts = Counts(result.accepted, result.duplicates)
            for row in result.rejected:
                counts.reject(row)
                reject(row)
            batches.append(pending.pop(future))
            progress.add(batches[-1].ranges, counts)
            progress.save(progress_file)
        return batches

    def settle_some() -> None:
        for batch in settle(wait(pending, return_when=FIRST_COMPLETED).done):
            report(batch)

    try:
        for batch in batches_of(read_rows(path, rules), batch_size, tuple(progress.ranges)):
            # A few pending batches keep the workers busy and memory small.
            if len(pending) >= 2 * workers:
                settle_some()
            pending[executor.submit(server.post, batch, process_user_actions=process_user_actions)] = batch
        while pending:
            settle_some()
    finally:
        if pending:
            stop.set()
        executor.shutdown(cancel_futures=True)
        settle([future for future in pending if not future.cancelled() and future.exception() is None])
    progress_file.unlink(missing_ok=True)
    return progress.counts


def summary(counts: Counts, sent: int, seconds: float, unit: str = "line") -> str:
    """The summary of a load: the counts of the file, the rate of this run, and each reason with its first lines."""
    rate = f"{sent / seconds:,.0f} rows/s" if seconds > 0 else "at once"
    lines = [
        f"{counts.rows:,} rows: accepted {counts.accepted:,}, duplicate {counts.duplicates:,}, "
        f"rejected {counts.rejected:,} ({seconds:.1f} s, {rate})"
    ]
    lines += [f"  {line}" for line in reason_lines(counts, unit)]
    return "\n".join(lines)


def run(options: argparse.Namespace, rules: RowRules) -> int:
    """Run the command; its exit status, LOADED, ROWS_REJECTED, NOT_LOADED or STOPPED."""
    stop = threading.Event()
    try:
        return _run(options, rules, stop)
    except (LoadError, FileUnusable) as error:
        print(f"load: {error}", file=sys.stderr)
        return NOT_LOADED
    except (KeyboardInterrupt, Interrupted):
        print("load: stopped; the same command resumes from here", file=sys.stderr)
        return STOPPED
    finally:
        stop.set()


def _run(options: argparse.Namespace, rules: RowRules, stop: threading.Event) -> int:
    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise Interrupted

    row_counts = _check_files(expand_files(options.files), rules)
    url = options.url.rstrip("/")
    reading = f"{sorted(rules.columns.mapped.items())}\n{rules.literal_nulls}"
    progress_files = {path: progress_path(options.state, path, options.program, url, reading) for path in row_counts}
    if options.restart:
        for progress_file in progress_files.values():
            progress_file.unlink(missing_ok=True)
    goes_on = any(progress_file.exists() for progress_file in progress_files.values())
    with open_rejects(options.rejects, list(row_counts), append=goes_on) as note_rejected:
        pool = urllib3.PoolManager(maxsize=options.workers)
        # Jitter only keeps the workers from retrying together; a fixed seed is enough, and reproducible.
        server = Server(url, options.program, options.key, pool, random.Random(0), pause)
        if server.open_program():
            print(f"created program {options.program}")
        total = Counts()
        for path, row_count in row_counts.items():
            bar_name = options.program if len(row_counts) == 1 else path.name
            before = Progress.read(progress_files[path]).counts.rows
            if before:
                print(f"resuming after {before:,} rows done earlier")
            began = time.monotonic()
            with tqdm(
                total=row_count, initial=before, unit=" rows", unit_scale=True, desc=bar_name, disable=None
            ) as bar:
                counts = load(
                    path,
                    server,
                    rules,
                    progress_file=progress_files[path],
                    stop=stop,
                    batch_size=options.batch,
                    workers=options.workers,
                    process_user_actions=not options.back_fill,
                    report=partial(_advance, bar),
                    reject=partial(note_rejected, path),
                )
                # What was expected counts blank lines, too.
                bar.total = counts.rows
            unit = "row" if is_parquet(path) else "line"
            text = summary(counts, counts.rows - before, time.monotonic() - began, unit)
            print(text if len(row_counts) == 1 else f"{path}: {text}")
            total.add(counts)
    if total.rejected and options.rejects is None:
        print("  --rejects FILE writes all rejected rows, with line and reason, to a file")
    allowed = options.allow_rejects and total.rejected < total.rows
    return ROWS_REJECTED if total.rejected and not allowed else LOADED


def _advance(bar: tqdm[Any], batch: Batch) -> None:
    bar.update(batch.covered)


def _check_files(paths: Iterable[Path], rules: RowRules) -> dict[Path, int]:
    """About how many rows each file has. Raises FileUnusable with a line for each file that cannot be loaded."""
    row_counts: dict[Path, int] = {}
    problems: list[str] = []
    for path in paths:
        try:
            row_counts[path] = check_file(path, rules)
        except FileUnusable as error:
            problems.append(error.message)
    if problems:
        raise FileUnusable("\nload: ".join(problems))
    return row_counts
