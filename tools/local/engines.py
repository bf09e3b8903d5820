"""DynamoDB, S3, SQS and SSM on this machine.

DynamoDB is dynoxide, a static binary over SQLite: it is the fastest of the engines compared, and writes that it has
acknowledged survive a kill -9. On platforms without a binary ministack's DynamoDB is used, which saves its tables only
on SIGTERM. S3, SQS and SSM are ministack: S3 objects are on disk before the response, the queue's messages are saved on
SIGTERM (which the kernel sends even when the stack is killed).

None of them checks credentials, and all of them let every web page in: they listen where no page finds them
(``tools.local.private_network``).
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nextbest.store.master_secret import LOCAL_VARIABLE
from tools.local.private_network import unguessable_address
from tools.local.processes import Processes, free_port, wait_for_port

ACCOUNT_ID = "000000000000"
REGION = "us-east-1"
SCAN_SEGMENT_ITEMS = 4_000
"""dynoxide sorts all that is left of a segment for each page: in one segment, a scan of millions would take hours."""
_START_SECONDS = 30.0
_DATABASE = "dynamodb.sqlite"
_WAIT_FOR_DATABASE_SECONDS = 30.0
DYNOXIDE = Path(sys.prefix) / "bin" / "dynoxide"
_NOSYNC = Path(__file__).with_name("nosync.py")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": "local"}


@dataclass(frozen=True, slots=True)
class Engines:
    """Where the engines listen, and their processes by name."""

    dynamodb_url: str
    s3_url: str
    sqs_url: str
    ssm_url: str
    processes: Mapping[str, subprocess.Popen[bytes]]

    def queue_url(self, name: str) -> str:
        return f"{self.sqs_url}/{ACCOUNT_ID}/{name}"

    def urls(self) -> dict[str, str]:
        """Where each service listens, by the name that signatures have."""
        return {"dynamodb": self.dynamodb_url, "s3": self.s3_url, "sqs": self.sqs_url, "ssm": self.ssm_url}

    def variables(self) -> dict[str, str]:
        """Environment variables with which AWS SDKs find the engines."""
        return {
            **{f"AWS_ENDPOINT_URL_{service.upper()}": url for service, url in self.urls().items()},
            "AWS_EC2_METADATA_DISABLED": "true",
            LOCAL_VARIABLE: "true",
            **({"SCAN_SEGMENT_ITEMS": str(SCAN_SEGMENT_ITEMS)} if "dynoxide" in self.processes else {}),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            **CREDENTIALS,
        }


def start_engines(processes: Processes, *, state: Path, logs: Path) -> Engines:
    """Start the engines on free ports with their data under ``state``; returns when all of them listen."""
    with_dynoxide = DYNOXIDE.exists()
    state.mkdir(parents=True, exist_ok=True)
    host = unguessable_address()
    ministack_port = free_port(host)
    ministack = processes.start(
        # Not `python -m ministack`: it puts its port into the queues' URLs, so they would be lost at the next start.
        [
            *(sys.executable, "-m", "hypercorn", "ministack.app:app", "--workers", "0"),
            *("--bind", f"{host}:{ministack_port}", "--keep-alive", "75", "--graceful-timeout", "1"),
        ],
        log=logs / "ministack.log",
        environment=_ministack_variables(state, with_dynamodb=not with_dynoxide),
        folder=state,
    )
    ministack_url = f"http://{host}:{ministack_port}"
    dynamodb_url = ministack_url
    started = {"ministack": ministack}
    if with_dynoxide:
        port = free_port(host)
        dynoxide = processes.start(
            [
                *(sys.executable, "-IS", str(_NOSYNC), str(DYNOXIDE), "serve"),
                *("--host", host, "--port", str(port), "--db-path", str(state / _DATABASE)),
            ],
            log=logs / "dynoxide.log",
            environment={"PATH": os.defpath},
            folder=state,
        )
        wait_for_port(dynoxide, port, log=logs / "dynoxide.log", seconds=_START_SECONDS, host=host)
        dynamodb_url = f"http://{host}:{port}"
        started["dynoxide"] = dynoxide
    wait_for_port(ministack, ministack_port, log=logs / "ministack.log", seconds=_START_SECONDS, host=host)
    return Engines(dynamodb_url, ministack_url, ministack_url, ministack_url, started)


def index_segments(state: Path, tables: Iterable[str]) -> None:
    """Let dynoxide find the items of a segment by an index, where it would read the whole table for each page."""
    if not (state / _DATABASE).exists():
        return
    with closing(sqlite3.connect(state / _DATABASE, timeout=_WAIT_FOR_DATABASE_SECONDS)) as database:
        for table in tables:
            # The expression by which dynoxide compares.
            database.execute(f'CREATE INDEX IF NOT EXISTS "{table}_segments" ON "{table}" (substr(hash_prefix, 1, 3))')
        database.commit()


def _ministack_variables(state: Path, *, with_dynamodb: bool) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(state),
        "SERVICES": "s3,sqs,ssm,dynamodb" if with_dynamodb else "s3,sqs,ssm",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state / "ministack"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / "s3"),
        "LOG_LEVEL": "WARNING",
        # Turn off ministack's MQTT broker, its SFTP server, and the removal of containers.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{state / 'no-docker'}",
    }
