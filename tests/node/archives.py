"""The project's images as `make images` leaves them: docker archives, read without running them."""

import json
import tarfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from hack.builds import images

AGENT = "launcher-agent"
HANDLER = "handler-service"


def archive_of(image: str) -> Path:
    """Return the image's archive; it is built, which takes minutes, before the tests' time limits start."""
    (archive,) = images.build([image])
    return archive


class Archive:
    """One image."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with tarfile.open(path) as archive:
            (self._manifest,) = self._json(archive, "manifest.json")
            self._image = self._json(archive, self._manifest["Config"])

    @staticmethod
    def _json(archive: tarfile.TarFile, name: str) -> Any:
        file = archive.extractfile(name)
        assert file is not None, f"no {name}"
        return json.load(file)

    @property
    def created(self) -> str:
        return cast("str", self._image["created"])

    @property
    def config(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self._image["config"])

    @property
    def layers(self) -> list[str]:
        """The digests of the layers' content, lowest first."""
        return cast("list[str]", self._image["rootfs"]["diff_ids"])

    @cached_property
    def entries(self) -> dict[str, tarfile.TarInfo]:
        """What is at each path below the root."""
        with tarfile.open(self._path) as archive:
            layers = (archive.extractfile(name) for name in self._manifest["Layers"])
            return {entry.name.strip("./"): entry for layer in layers for entry in self._entries(layer)}

    @staticmethod
    def _entries(layer: Any) -> Iterator[tarfile.TarInfo]:
        with tarfile.open(fileobj=layer) as content:
            yield from content

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries.values() if entry.isreg())
