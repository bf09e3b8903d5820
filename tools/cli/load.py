"""Loads a file of events into a program, through the public API.

    ./nextbest load events.csv.gz --program shop

The file is CSV, plain or gzipped, with a header that names ``user_id``, ``event_type``, ``asset_id``, ``timestamp``
(epoch seconds, or ISO 8601; no offset means UTC) and, if wanted, ``labels`` (separated by ``|`` or ``;``), in any
order. It is streamed, never held in memory as a whole. A small progress file lets the same command go on after an
interruption; sending a row twice would do no harm either, because the same event is stored once.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import urllib3
from tqdm import tqdm

from tools.cli.load_client import Server
from tools.cli.load_errors import Interrupted, LoadError
from tools.cli.load_progress import Counts, Progress, progress_path
from tools.cli.load_rows import LARGEST_BATCH, Batch, count_rows, read_batches


def load(
    path: Path,
    server: Server,
    *,
    progress_file: Path,
    stop: threading.Event,
    batch_size: int = LARGEST_BATCH,
    workers: int = 2,
    process_user_actions: bool = True,
    report: Callable[[Batch], object] = lambda _: None,
) -> Counts:
    """Send what is not sent yet, ``workers`` batches at a time, and return the counts of the whole file.

    The progress file is updated after each batch and removed at the end; however a load is interrupted, what the server
    has confirmed is saved first. ``stop`` is set when the load ends, so that workers end their pauses. ``report`` is
    called with each batch that is done. Raises LoadError.
    """
    progress = Progress.read(progress_file)
    pending: dict[Future[Counts], Batch] = {}
    executor = ThreadPoolExecutor(workers, thread_name_prefix="load")

    def settle(futures: Iterable[Future[Counts]]) -> list[Batch]:
        batches = []
        for future in futures:
            counts = future.result()
            batches.append(pending.pop(future))
            progress.add(batches[-1].ranges, counts)
            progress.save(progress_file)
        return batches

    def settle_some() -> None:
        for batch in settle(wait(pending, return_when=FIRST_COMPLETED).done):
            report(batch)

    try:
        for batch in read_batches(path, batch_size, tuple(progress.ranges)):
            # A few pending batches keep the workers busy and memory small.
            if len(pending) >= 2 * workers:
                settle_some()
            pending[executor.submit(server.post, batch, process_user_actions=process_user_actions)] = batch
        while pending:
            settle_some()
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)
        settle([future for future in pending if not future.cancelled() and future.exception() is None])
    progress_file.unlink(missing_ok=True)
    return progress.counts


def summary(counts: Counts, sent: int, seconds: float) -> str:
    """The summary of a load: the counts of the file, the rate of this run, and each reason with its first rows."""
    rate = f"{sent / seconds:,.0f} rows/s" if seconds > 0 else "at once"
    lines = [
        f"{counts.rows:,} rows: accepted {counts.accepted:,}, duplicate {counts.duplicates:,}, "
        f"rejected {counts.rejected:,} ({seconds:.1f} s, {rate})"
    ]
    for why, reason in sorted(counts.reasons.items(), key=lambda item: -item[1].count):
        rows = ", ".join(str(row) for row in reason.rows)
        lines.append(
            f"  rejected {reason.count:,}: {why} (row {rows}{', ...' if reason.count > len(reason.rows) else ''})"
        )
    return "\n".join(lines)


def run(options: argparse.Namespace) -> int:
    """Run the command; 0 if every row was sent or rejected, 1 if the load failed, 130 after Ctrl-C."""
    stop = threading.Event()
    try:
        return _run(options, stop)
    except LoadError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Interrupted):
        print("load: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    finally:
        stop.set()


def _run(options: argparse.Namespace, stop: threading.Event) -> int:
    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise Interrupted

    total = count_rows(options.file)
    url = options.url.rstrip("/")
    progress_file = progress_path(options.state, options.file, options.program, url)
    if options.restart:
        progress_file.unlink(missing_ok=True)
    pool = urllib3.PoolManager(maxsize=options.workers)
    # Jitter only keeps the workers from retrying together; a fixed seed is enough, and reproducible.
    server = Server(url, options.program, options.key, pool, random.Random(0), pause)
    if server.open_program():
        print(f"created program {options.program}")
    before = Progress.read(progress_file).counts.rows
    if before:
        print(f"going on after {before:,} rows done earlier")
    began = time.monotonic()
    with tqdm(total=total, initial=before, unit=" rows", unit_scale=True, desc=options.program, disable=None) as bar:
        counts = load(
            options.file,
            server,
            progress_file=progress_file,
            stop=stop,
            batch_size=options.batch,
            workers=options.workers,
            process_user_actions=not options.back_fill,
            report=lambda batch: bar.update(batch.covered),
        )
    print(summary(counts, counts.rows - before, time.monotonic() - began))
    return 0
