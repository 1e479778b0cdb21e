"""Finds the programs that the tests start; if one is missing, the error says how to get it.

It searches the folder in `KUBEBUILDER_ASSETS`, like controller-runtime's envtest (the folder need not hold all of
them), then what hack/builds has built from this package's go.mod.
"""

import os
import shutil
from pathlib import Path

from hack.builds import gotools

REPOSITORY = Path(__file__).resolve().parents[2]


class MissingToolError(Exception):
    """A program is not there; the message says what makes it."""


def tool(name: str) -> Path:
    """Return the path of a program built from go.mod, by its own name (`kube-apiserver`, `etcd`, `containerd`...)."""
    folders = [*_assets(), gotools.find(name).path.parent]
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return folder / name
    searched = [str(folder) for folder in folders]
    raise MissingToolError(f"{name} is in none of {searched}; `python -m hack.builds gotools {name}` builds it")


def require(*names: str) -> None:
    """Raise before anything has been started, not halfway, if one of these programs is missing."""
    for name in names:
        tool(name)


def require_system(*names: str) -> None:
    """Do the same for programs of the system, which packages of the same or a similar name install."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise MissingToolError(f"please install {', '.join(missing)}; `make setup` does")


def _assets() -> list[Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return [Path(assets)] if assets else []
