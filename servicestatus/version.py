"""The installed version.

`importlib.metadata` would tell it too, for two megabytes of memory (it brings the parsers of mail and zip files), which
are paid once for each VM. What is needed of it is the name of one folder, `vmi_service_status-VERSION.dist-info`.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_FOLDER: Final = "vmi_service_status-*.dist-info"


def installed(path: Iterable[str] = sys.path) -> str:
    """The version of this distribution; `unknown` when it runs from a folder without having been installed."""
    for entry in path:
        for folder in Path(entry).glob(_FOLDER):
            return folder.name.removesuffix(".dist-info").split("-")[1]
    return "unknown"
