"""containerd's store with the images in it, made once for each set of images and kept in the cache.

Unpacking takes most of the time. A node gets its own store, whose files are hard links to the cached ones: containerd
and the overlay file system only replace or remove files. Its databases are written in place, so these are copied.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from hack.builds.cache import Store, key_of
from tests.cluster import debian
from tests.cluster.builtin import write_builtin
from tests.cluster.commands import run
from tests.cluster.server import Server, accepts
from tests.cluster.tools import tool

# KubeVirt's images, two gigabytes, take 11 s.
IMPORT_TIMEOUT = 300.0
STORE = Store("containerd")


def prepared_store(archives: Sequence[Path]) -> Path:
    """Return a store that holds the built-in images and those of the archives."""
    return STORE.obtain(_key(archives), lambda new: _make(new, archives), what="a store with the images of a node")


def copy_store(store: Path, to: Path) -> None:
    """Make a node's own store; an existing one is kept."""
    if to.exists():
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    new = to.with_name(f"{to.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    # There are no hard links from one file system to another.
    how = "--link" if store.stat().st_dev == to.parent.stat().st_dev else "--reflink=auto"
    run("cp", "--archive", how, store, new, timeout=IMPORT_TIMEOUT)
    for database in store.rglob("*.db"):
        copy = new / database.relative_to(store)
        copy.unlink()
        shutil.copy2(database, copy)
    new.rename(to)


def _key(archives: Sequence[Path]) -> str:
    return key_of(run(tool("containerd"), "--version"), *debian.PACKAGES, *(_digest(archive) for archive in archives))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(store: Path, archives: Sequence[Path]) -> None:
    """Import the archives with a containerd of its own, which stops before its store is renamed."""
    folder = store.parent
    builtin = write_builtin(folder / "builtin.tar", debian.unpacked() / "bin/busybox")
    config = folder / "containerd.toml"
    config.write_text(f'version = 3\nroot = "{store}"\nstate = "{folder}/state"\nimports = []\n')
    socket = folder / "containerd.sock"
    command: list[str | Path] = ["unshare", "--mount", tool("containerd"), "--config", config, "--address", socket]
    with Server(command, log=folder / "containerd.log", ready=lambda: accepts(socket)) as containerd:
        for archive in (builtin, *archives):
            ctr = (tool("ctr"), "--address", socket, "--namespace=k8s.io")
            run(*ctr, "images", "import", archive, timeout=IMPORT_TIMEOUT)
        containerd.stop()
