"""Small docker archives, as an engine writes them."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def layer(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A layer with these files and symbolic links."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            add(archive, name, data)
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return content.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes, mtime: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = len(data), mtime
    archive.addfile(entry, io.BytesIO(data))


def docker_archive(path: Path, architecture: str, layers: Sequence[bytes], *, mtime: int = 0) -> Path:
    """An archive of one image, written at some time."""
    digests = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in layers]
    config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": digests}}
    names = [f"{number}.tar" for number in range(len(layers))]
    with tarfile.open(path, "w") as archive:
        for name, content in zip(names, layers, strict=True):
            add(archive, name, content, mtime)
        add(archive, "config.json", json.dumps(config).encode(), mtime)
        add(archive, "manifest.json", json.dumps([{"Config": "config.json", "Layers": names}]).encode(), mtime)
    return path
