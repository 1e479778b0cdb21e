"""What several of these tests need."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """For unix sockets: pytest's own folders may have names too long for them."""
    with tempfile.TemporaryDirectory(prefix="vss-") as made:
        yield Path(made)


@pytest.fixture
def socket(folder: Path) -> Path:
    """Where the handler's socket is, or will be."""
    return folder / "handler.sock"
