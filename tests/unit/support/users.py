"""What a test does as a user without rights, also where root runs it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: The user `nobody` of Debian.
NOBODY: Final = 65_534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: run as another user meanwhile, which may not even read this program's modules."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
