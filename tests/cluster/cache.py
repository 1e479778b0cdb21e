"""Where things are kept that take long to make; each lies under a key of all that it depends on."""

import os
import shutil
import time
from pathlib import Path

# An entry that nobody used for two weeks belongs to something that has changed since.
KEEP_SECONDS = 14 * 24 * 3600.0

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmi-service-status"


def used(entry: Path) -> None:
    """Notes that a folder of the cache is in use, and removes those beside it that were not for long."""
    os.utime(entry)
    for other in entry.parent.iterdir():
        if other.stat().st_mtime < time.time() - KEEP_SECONDS:
            shutil.rmtree(other)
