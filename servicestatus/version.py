"""Reads the installed version from the name of its folder, `vmi_service_status-VERSION.dist-info`.

`importlib.metadata` costs two megabytes of memory for the same answer, because it imports the parsers of mail and zip
files. The agent would pay that once for each VM.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_FOLDER: Final = "vmi_service_status-*.dist-info"


def installed(path: Iterable[str] = sys.path) -> str:
    """Return the version of this distribution; `unknown` if the program runs from a folder without an installation."""
    for entry in path:
        for folder in Path(entry).glob(_FOLDER):
            return folder.name.removesuffix(".dist-info").split("-")[1]
    return "unknown"
