from __future__ import annotations

import pytest

from tests.infrastructure.cloudformation import Document, translate


@pytest.fixture(scope="session")
def template() -> Document:
    """The translated template; do not change it."""
    return translate()
