"""Spark: on this machine, with all that it writes in one temporary folder, or where the job was submitted to."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext

ROOT = Path(__file__).resolve().parents[2]
_CONFIGURATION = Path(__file__).with_name("conf")
_LOOPBACK = "127.0.0.1"
_JAVA_OPTIONS = "-XX:-UsePerfData -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""No files in /tmp; and for what Java does here, compiling more takes longer than it saves."""
_SETTINGS = {
    # Results that are collected are small by design; the default would count those of all tasks together.
    "spark.driver.maxResultSize": "0",
    # A worker keeps its process, so that modules are imported once.
    "spark.python.worker.reuse": "true",
    "spark.rdd.compress": "false",
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
}


_REASON_CHARACTERS = 300
_ATTEMPTS = 4
"""How often a task is tried, as on a cluster."""


class SparkFailed(RuntimeError):
    """What Spark could not do, in a line: of a failure in a task, the error that it ended with."""


@contextmanager
def plain_failures() -> Iterator[None]:
    """Raise SparkFailed for the errors of Java, whose texts are the traces of two languages."""
    try:
        yield
    except Py4JJavaError as error:
        raise SparkFailed(reason_of(str(error.java_exception.getMessage()))) from error


def reason_of(message: str) -> str:
    """The reason in the message of an error of Spark's, in one line."""
    trace = re.search(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(\S.*)$", message, re.MULTILINE)
    reason = trace[1] if trace else message.partition("\n")[0]
    return f"Spark failed: {reason[:_REASON_CHARACTERS]}"


@contextmanager
def spark_context() -> Iterator[SparkContext]:
    """The Spark that this process was submitted to, or else one on this machine, until the context ends."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        with local_context(cores=os.cpu_count() or 1) as context:
            yield context
        return
    context = SparkContext(appName="nextbest", conf=SparkConf().setAll(list(_SETTINGS.items())))
    try:
        yield context
    finally:
        context.stop()


@contextmanager
def local_context(
    *, cores: int = 2, memory_megabytes: int = 1024, settings: Mapping[str, str] | None = None
) -> Iterator[SparkContext]:
    """Spark in a process of its own on this machine, until the context ends.

    ``memory_megabytes`` is the heap of that process, in which the driver and all tasks are; Python workers, one a core,
    come on top of it. It listens on the loopback address alone.
    """
    libraries = os.pathsep.join([str(ROOT / "layers" / "nextbest"), str(ROOT)])
    environment = {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(filter(None, [libraries, os.environ.get("PYTHONPATH", "")])),
        "SPARK_CONF_DIR": str(_CONFIGURATION),
        "SPARK_LOCAL_IP": _LOOPBACK,
    }
    with tempfile.TemporaryDirectory(prefix="nextbest-spark-", ignore_cleanup_errors=True) as folder:
        chosen = {
            **_SETTINGS,
            "spark.driver.memory": f"{memory_megabytes}m",
            "spark.driver.host": _LOOPBACK,
            "spark.driver.bindAddress": _LOOPBACK,
            "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={folder} {_JAVA_OPTIONS}",
            "spark.local.dir": folder,
            "spark.sql.warehouse.dir": folder,
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            **(settings or {}),
        }
        with patch.dict(os.environ, environment):
            configuration = SparkConf(loadDefaults=False).setAll(list(chosen.items()))
            context = SparkContext(master=f"local[{cores},{_ATTEMPTS}]", appName="nextbest", conf=configuration)
            try:
                yield context
            finally:
                context.stop()
                _end_java()


def _end_java() -> None:
    """End the process of Spark: it would stay until ours ends, and so would its temporary folder."""
    gateway = SparkContext._gateway
    if gateway is None:
        return
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()
    SparkContext._gateway = SparkContext._jvm = None
