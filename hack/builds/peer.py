"""Builds the programs in Go that the bench compares the project with, from bench/peer."""

from pathlib import Path

from hack.builds import go
from hack.builds.cache import Store, describe_files, key_of
from hack.builds.commands import ROOT

MODULE = "bench/peer"
PROGRAMS = ("handler", "launcher", "load")
STORE = Store("peer")
# As KubeVirt is built: optimized, without debug information.
FLAGS = go.Build()


def build() -> Path:
    """Return the folder with the programs."""
    key = key_of(go.find().version, describe_files(MODULE), str(FLAGS))
    return STORE.obtain(key, _make, what="the Go pair of the bench", estimate="a minute if Go has nothing in its cache")


def _make(folder: Path) -> None:
    folder.mkdir()
    for name in PROGRAMS:
        FLAGS.run(go.find().ensured(), ROOT / MODULE, folder / f"peer-{name}", [f"./cmd/{name}"])
