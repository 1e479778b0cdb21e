"""The KubeVirt that `hack/kubevirt` has built, in the cache."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.images import REGISTRY
from tests.cluster.tools import REPOSITORY

# Building takes minutes and is done before the tests' clocks start; this is the time to find that nothing has changed.
TIMEOUT = 60.0


def image_name(program: str, version: str) -> str:
    """KubeVirt's operator makes the names of the others' images from that of its own."""
    return f"{REGISTRY}/kubevirt/{program}:{version}"


@dataclass(frozen=True)
class Build:
    folder: Path

    @classmethod
    def find(cls) -> "Build":
        done = subprocess.run(
            [REPOSITORY / "hack/kubevirt"], capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
        assert done.returncode == 0, f"hack/kubevirt: {done.stderr}"
        return cls(Path(done.stdout.strip()))

    @property
    def version(self) -> str:
        return (self.folder / "version").read_text().strip()

    @property
    def archive(self) -> Path:
        """Of all its images."""
        return self.folder / "kubevirt.tar"

    @property
    def virtctl(self) -> Path:
        return self.folder / "virtctl"

    @property
    def manifests(self) -> Path:
        """What KubeVirt's own generator wrote."""
        return self.folder / "manifests"

    def image(self, program: str) -> str:
        return image_name(program, self.version)
