"""One Spark for all tests of the job, in two tasks at once; skipped where pyspark or Java is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# The engines of the store's tests.
from tests.store.conftest import start_engine
from tools.local.job_runs import missing_of_spark

__all__ = ["start_engine"]

if TYPE_CHECKING:
    from pyspark import SparkContext


@pytest.fixture(scope="session")
def context() -> Iterator[SparkContext]:
    """Spark on this machine."""
    if reason := missing_of_spark():
        pytest.skip(reason)
    from tools.spark.session import local_context

    with local_context(cores=2, memory_megabytes=1024) as context:
        yield context


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pyspark leaves the sockets that results came through to the garbage collector."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
