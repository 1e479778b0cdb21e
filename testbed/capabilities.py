"""What libvirt learned of the QEMU binaries, kept from one private libvirt for the next.

A fresh libvirtd asks every QEMU binary for its abilities, which takes four seconds, and writes the answers to its cache
directory. libvirt itself checks a cached answer against the binary, its own build, and the kernel, and asks again when
one of them changed: so what lies here may be outdated, but never wrong.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hack.builds.cache import CACHE

# Where libvirt keeps them, below its XDG_CACHE_HOME.
CAPABILITIES = Path("libvirt/qemu/cache/capabilities")


class CapabilitiesCache:
    """Keyed by the binaries, so that two versions on one machine do not drive each other out."""

    def __init__(self, binaries: Iterable[Path], root: Path | None = None) -> None:
        self.directory = (root or CACHE) / "libvirt" / _key(binaries)

    def restore(self, cache_home: Path) -> None:
        target = cache_home / CAPABILITIES
        target.mkdir(parents=True)
        for answer in self.directory.glob("*.xml"):
            shutil.copyfile(answer, target / answer.name)

    def save(self, cache_home: Path) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for answer in (cache_home / CAPABILITIES).glob("*.xml"):
            self._keep(answer)

    def _keep(self, answer: Path) -> None:
        """A test process beside this one may do the same at the same moment: a file appears whole or not at all."""
        kept = self.directory / answer.name
        content = answer.read_bytes()
        if not kept.exists() or kept.read_bytes() != content:
            with tempfile.NamedTemporaryFile(dir=self.directory, delete=False) as new:
                new.write(content)
            Path(new.name).replace(kept)


def _key(binaries: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for binary in binaries:
        status = binary.stat()
        digest.update(f"{binary} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
