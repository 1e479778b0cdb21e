"""The KubeVirt that hack/builds has built, in the cache."""

from dataclasses import dataclass
from pathlib import Path

from hack.builds import kubevirt
from tests.cluster.images import REGISTRY


def image_name(program: str, version: str) -> str:
    """KubeVirt's operator makes the names of the others' images from that of its own."""
    return f"{REGISTRY}/kubevirt/{program}:{version}"


@dataclass(frozen=True)
class Build:
    folder: Path

    @classmethod
    def find(cls) -> "Build":
        """Return the one in the cache; it is built, which takes minutes, before the tests' time limits start."""
        return cls(kubevirt.build())

    @property
    def version(self) -> str:
        return (self.folder / "version").read_text().strip()

    @property
    def minor(self) -> tuple[int, int]:
        """As (1, 9) of v1.9.0."""
        major, minor, *_ = self.version.removeprefix("v").split(".")
        return int(major), int(minor)

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
