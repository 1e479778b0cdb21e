"""Container images without a registry and without a builder: docker archives written with tarfile.

`ctr images import` takes them. Pods name them with `imagePullPolicy: IfNotPresent` or `Never`: nothing can be pulled.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A registry that can exist nowhere (RFC 6761), so that an image that is not there is never looked for elsewhere.
REGISTRY = "test.invalid"
PAUSE = f"{REGISTRY}/pause:1"
BUSYBOX = f"{REGISTRY}/busybox:1"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """An image of layers, which are tar files, lowest first. `user` as in a Dockerfile: names or numbers."""

    tag: str
    layers: Sequence[Path]
    entrypoint: Sequence[str] = ()
    user: str = "0"
    environment: Sequence[str] = (PATH,)


@dataclass(frozen=True)
class File:
    """One file of a layer; one with a `target` is a symbolic link."""

    content: bytes = b""
    mode: int = 0o644
    target: str = ""


def write_layer(path: Path, files: Mapping[str, File]) -> Path:
    """A layer of files by their paths; the folders above them are made by the runtime."""
    with tarfile.open(path, "w") as layer:
        for name, file in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = file.mode
            if file.target:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.target
            _add(layer, entry, file.content)
    return path


def write_archive(path: Path, images: Sequence[Image]) -> Path:
    """A docker archive; a layer that several images have lies in it once."""
    digests = {layer: _digest(layer) for image in images for layer in image.layers}
    manifest = []
    with tarfile.open(path, "w") as archive:
        for layer, digest in digests.items():
            archive.add(layer, arcname=f"{digest}.tar")
        for image in images:
            layers = [digests[layer] for layer in image.layers]
            config = json.dumps(_config(image, layers)).encode()
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(archive, tarfile.TarInfo(name), config)
            manifest.append({"Config": name, "RepoTags": [image.tag], "Layers": [f"{layer}.tar" for layer in layers]})
        _add(archive, tarfile.TarInfo("manifest.json"), json.dumps(manifest).encode())
    return path


def _config(image: Image, digests: Sequence[str]) -> dict[str, Any]:
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"User": image.user, "Env": list(image.environment), "Entrypoint": list(image.entrypoint)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, entry: tarfile.TarInfo, content: bytes) -> None:
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
