"""Fixtures that the tests of this folder share."""

from collections.abc import Iterator

import pytest

from testbed.pool import ViewerPool


@pytest.fixture
def viewers() -> Iterator[ViewerPool]:
    with ViewerPool() as pool:
        yield pool
