"""Where the programs that the tests start come from: an error that says how to get them, never a search by chance.

Order: the folder in `KUBEBUILDER_ASSETS`, as controller-runtime's envtest has it (it need not hold all of them), then
what `hack/gotools` built from this package's go.mod.
"""

import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GOTOOLS = REPOSITORY / "hack" / "gotools"


class MissingToolError(Exception):
    """A program is not there; the message says what makes it."""


def tool(name: str) -> Path:
    """The path of a program built from go.mod, called by its own name (`kube-apiserver`, `etcd`, `containerd`...)."""
    for folder in _folders():
        if os.access(folder / name, os.X_OK):
            return folder / name
    raise MissingToolError(f"{name} is in none of {[str(f) for f in _folders()]}; `hack/gotools {name}` builds it")


def require(*names: str) -> None:
    """Fails before anything has been started, rather than in the middle, if one of these programs is missing."""
    for name in names:
        tool(name)


def require_system(*names: str) -> None:
    """The same for programs of the system, which packages of the same or a similar name install."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise MissingToolError(f"please install {', '.join(missing)}; `make setup` does")


def _folders() -> list[Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return ([Path(assets)] if assets else []) + ([built] if (built := _built()) else [])


@lru_cache
def _built() -> Path | None:
    """Where hack/gotools puts what it builds; None in a tree without it."""
    if not GOTOOLS.exists():
        return None
    answer = subprocess.run([GOTOOLS, "--dir"], capture_output=True, text=True, check=True, timeout=60)
    return Path(answer.stdout.strip())
