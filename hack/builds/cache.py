"""Keeps artifacts that take long to build under a key of their inputs, in a cache that all trees of a machine share.

An artifact is built in a temporary folder and renamed at the end, so an artifact that exists is complete. One build
runs at a time in a store, under a file lock that the kernel releases when its holder ends, however it ends.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.builds.commands import ROOT, BuildError
from hack.builds.progress import INTERVAL, progress, say

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmi-service-status"

# An entry that was not used for two weeks belongs to inputs that have changed since.
KEEP_SECONDS = 14 * 24 * 3600.0

# Seconds between two attempts to get the lock: short beside any build.
LOCK_INTERVAL = 0.2


def key_of(*inputs: str | bytes) -> str:
    """Return the key of an artifact with these inputs. It covers their lengths, so that none runs into the next."""
    digest = hashlib.sha256()
    for value in inputs:
        data = value.encode() if isinstance(value, str) else value
        digest.update(b"%d:%b" % (len(data), data))
    return digest.hexdigest()[:16]


def describe_files(*paths: str, root: Path = ROOT) -> str:
    """Return the names, modes and digests of files and of all files in folders, as one input of a key."""
    lines = []
    for path in sorted({file for name in paths for file in _files(root / name)}):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{path.relative_to(root)} {path.stat().st_mode & 0o777:o} {digest}\n")
    return "".join(lines)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BuildError(f"{path} is missing, but an artifact depends on it")
    return [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


@dataclass(frozen=True)
class Store:
    """The artifacts of one kind. Entries that match `pattern` are removed when they are no longer used."""

    name: str
    pattern: str = "*"
    root: Path = CACHE

    @property
    def folder(self) -> Path:
        return self.root / self.name

    def obtain(self, entry: str, make: Callable[[Path], object], *, what: str, estimate: str = "") -> Path:
        """Return the path of an entry, `KEY` or `KEY/NAME`.

        If it is missing, `make` writes it to the path that it is given. The parent of that path is a temporary folder,
        which `make` may use for other files.
        """
        artifact = self.folder / entry
        if not artifact.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked(what, artifact.exists) as locked:
                if locked and not artifact.exists():
                    say(f"{self.name}: building {what}{estimate and f' ({estimate})'}")
                    with progress(f"{self.name}: building {what}"):
                        self._make(artifact, make)
        self._keep(self.folder / Path(entry).parts[0])
        return artifact

    def _make(self, artifact: Path, make: Callable[[Path], object]) -> None:
        work = self.folder / ".work"
        # A build that was killed leaves its files behind.
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            make(work / artifact.name)
            artifact.parent.mkdir(exist_ok=True)
            (work / artifact.name).rename(artifact)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def _locked(self, what: str, is_built: Callable[[], bool]) -> Iterator[bool]:
        """Hold the lock and yield True, or yield False as soon as another build has built the artifact."""
        # Python's descriptors are not inherited, so a compiler that outlives its build does not hold the lock.
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if _try_lock(descriptor):
                yield True
                return
            say(f"{self.name}: waiting for {what}: another build runs in {self.folder}")
            with progress(f"{self.name}: waiting for {what}", INTERVAL):
                while not (locked := _try_lock(descriptor)) and not is_built():
                    time.sleep(LOCK_INTERVAL)
            yield locked
        finally:
            os.close(descriptor)

    def _keep(self, entry: Path) -> None:
        """Note that an entry is in use, and remove the entries that are not."""
        os.utime(entry)
        for other in self.folder.glob(self.pattern):
            if not other.name.startswith(".") and _is_older(other, time.time() - KEEP_SECONDS):
                if other.is_dir():
                    shutil.rmtree(other, ignore_errors=True)
                else:
                    other.unlink(missing_ok=True)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_older(path: Path, moment: float) -> bool:
    """Return whether a path was last used before a moment; another process may have removed it meanwhile."""
    try:
        return path.stat().st_mtime < moment
    except FileNotFoundError:
        return False
