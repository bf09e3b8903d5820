"""How fast a large file is stored from the inbox of the running local stack: ``./nextbest bench-inbox``.

Prints the conditions, and rows a second from the drop of the file to its finished report. The rows are drawn from a
fixed seed, ordered by time as exports are.
"""

from __future__ import annotations

import json
import os
import platform
import random
import time
from typing import Any

from tools.cli.deployment import Deployment

_HEADER = "user_id,event_type,asset_id,timestamp\n"
_FIRST_SECOND = 1_700_000_000
_PAUSE_SECONDS = 0.25


def file_of_events(rows: int, users: int, assets: int) -> bytes:
    """A CSV file."""
    draw = random.Random(1)
    lines = [
        f"user-{draw.randrange(users)},view,asset-{draw.randrange(assets)},{_FIRST_SECOND + 10 * n}\n"
        for n in range(rows)
    ]
    return (_HEADER + "".join(lines)).encode()


def run(deployment: Deployment, program_id: str, *, rows: int, users: int, assets: int) -> dict[str, Any]:
    """Drop a file into the inbox of a program, wait for its report, and print the rate; the report."""
    content = file_of_events(rows, users, assets)
    s3 = deployment.client("s3")
    key = f"inbox/{program_id}/bench-{time.time_ns()}.csv"
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(f"load average: {os.getloadavg()[0]:.1f} at the start")
    print(f"file: {rows:,} rows of {users:,} users and {assets:,} assets, {len(content) / 1e6:.1f} MB")
    began = time.monotonic()
    s3.put_object(Bucket=deployment.bucket, Key=key, Body=content)
    report: dict[str, Any] = {"status": "running"}
    while report["status"] == "running":
        time.sleep(_PAUSE_SECONDS)
        listed = s3.list_objects_v2(Bucket=deployment.bucket, Prefix=f"{key}.report.json")
        if listed.get("KeyCount"):
            body = s3.get_object(Bucket=deployment.bucket, Key=f"{key}.report.json")["Body"]
            report = json.loads(body.read())
    seconds = time.monotonic() - began
    print(f"{report['status']}: stored {report['stored']:,}, {seconds:.1f} s, {rows / seconds:,.0f} rows a second")
    return report
