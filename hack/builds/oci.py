"""Joins docker archives of one image, each for one platform, into an OCI archive with an index of them all.

Written here, because what engines write has the date of its writing. The layers are compressed by this Python's zlib,
so on one machine the same archives give the same bytes, and with them the digest that manifests name.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hack.builds.commands import BuildError

_TYPE = "application/vnd.oci.image."
INDEX, MANIFEST = f"{_TYPE}index.v1+json", f"{_TYPE}manifest.v1+json"
CONFIG, LAYER = f"{_TYPE}config.v1+json", f"{_TYPE}layer.v1.tar+gzip"
# zlib's own default: 9 takes three times as long for 1 % less.
LEVEL = 6

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class DockerArchive:
    """An archive that `docker save` or `buildah push docker-archive:` wrote, with one image."""

    path: Path

    @property
    def config(self) -> bytes:
        """Return the image's configuration, byte by byte: its digest is the image's ID."""
        with tarfile.open(self.path) as archive:
            return _read(archive, _manifest(archive)["Config"])

    def layers(self) -> Iterator[bytes]:
        """Return the tar archive of each layer, lowest first, after its digest was checked."""
        expected = json.loads(self.config)["rootfs"]["diff_ids"]
        with tarfile.open(self.path) as archive:
            for name, digest in zip(_manifest(archive)["Layers"], expected, strict=True):
                content = _read(archive, name)
                if digest_of(content) != digest:
                    raise BuildError(f"{self.path}: the layer {name} is not {digest}, which the image names")
                yield content


class _Layout:
    """An OCI archive while it is written. Every entry has the same date, owner and mode; no blob is in it twice."""

    def __init__(self, archive: tarfile.TarFile, level: int) -> None:
        self._archive = archive
        self._level = level
        self._digests: set[str] = set()

    def add(self, kind: str, content: bytes) -> Descriptor:
        digest = digest_of(content)
        if digest not in self._digests:
            self._digests.add(digest)
            self.add_file(f"blobs/{digest.replace(':', '/')}", content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def add_file(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        self._archive.addfile(entry, io.BytesIO(content))

    def add_image(self, image: DockerArchive) -> Descriptor:
        config = image.config
        layers = [self.add(LAYER, gzip.compress(layer, self._level, mtime=0)) for layer in image.layers()]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.add(CONFIG, config),
            "layers": layers,
        }
        described = json.loads(config)
        platform = {name: described[name] for name in ("architecture", "os", "variant") if described.get(name)}
        return {**self.add(MANIFEST, _json(manifest)), "platform": platform}


def write(target: Path, images: Sequence[Path], name: str, *, level: int = LEVEL) -> None:
    """Write an OCI archive of these docker archives; `name` is that of the image, with its tag."""
    with tarfile.open(target, "w") as archive:
        layout = _Layout(archive, level)
        layout.add_file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        manifests = [layout.add_image(DockerArchive(path)) for path in images]
        index = layout.add(INDEX, _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
        # The tag is for `skopeo`, the whole name for `ctr images import`.
        index["annotations"] = {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        }
        layout.add_file("index.json", _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]}))


def index_digest(archive: Path) -> str:
    """Return the digest under which a registry has the image of an OCI archive, for all platforms."""
    with tarfile.open(archive) as layout:
        (index,) = json.loads(_read(layout, "index.json"))["manifests"]
    return cast("str", index["digest"])


def digest_of(content: bytes) -> str:
    """Return a digest as OCI writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _manifest(archive: tarfile.TarFile) -> dict[str, Any]:
    (manifest,) = json.loads(_read(archive, "manifest.json"))
    return cast("dict[str, Any]", manifest)


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise BuildError(f"{archive.name!r} has no file {name}")
    return file.read()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
