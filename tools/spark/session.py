"""Spark: on this machine, with all that it writes in one temporary folder, or where the job was submitted to."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

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
            context = SparkContext(master=f"local[{cores}]", appName="nextbest", conf=configuration)
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
