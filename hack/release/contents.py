"""Reads from an OCI archive what a software bill of materials needs, for each platform."""

import gzip
import io
import json
import posixpath
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.builds.commands import BuildError

# What `unpack-debian` and pip leave in an image.
_WANTED = re.compile(
    r"usr/lib/os-release|var/lib/dpkg/status\.d/.+|usr/share/doc/[^/]+/copyright"
    r"|usr/local/lib/python3\.13/dist-packages/[^/]+\.dist-info/METADATA|usr/bin/launcher-supervisor"
)


@dataclass(frozen=True)
class Contents:
    """One image of the archive."""

    platform: str
    digest: str  # of its manifest
    files: Mapping[str, bytes]


def read(archive: Path) -> list[Contents]:
    """Return the images of an archive that `hack.builds.oci` wrote."""
    with tarfile.open(archive) as layout:
        (index,) = _json(layout, "index.json")["manifests"]
        return [_image(layout, described) for described in _blob(layout, index["digest"])["manifests"]]


def _image(layout: tarfile.TarFile, described: Mapping[str, Any]) -> Contents:
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    for layer in _blob(layout, described["digest"])["layers"]:
        _read_layer(_bytes(layout, layer["digest"]), files, links)
    # The folder of a package, or the file in it, may be a link to those of another package of the same source.
    for name, target in links.items():
        end = "" if name.endswith("/copyright") else "/copyright"
        if target + end in files:
            files[name + end] = files[target + end]
    platform = described["platform"]
    return Contents(f"{platform['os']}/{platform['architecture']}", described["digest"], files)


def _read_layer(layer: bytes, files: dict[str, bytes], links: dict[str, str]) -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as content:
        for entry in content:
            name = entry.name.removeprefix("./").strip("/")
            if entry.issym() and name.startswith("usr/share/doc/"):
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.linkname))
            elif _WANTED.fullmatch(name) and (file := content.extractfile(entry)):
                files[name] = file.read()


def _blob(layout: tarfile.TarFile, digest: str) -> Any:
    return json.loads(_bytes(layout, digest))


def _json(layout: tarfile.TarFile, name: str) -> Any:
    return json.loads(_file(layout, name))


def _bytes(layout: tarfile.TarFile, digest: str) -> bytes:
    return _file(layout, f"blobs/{digest.replace(':', '/')}")


def _file(layout: tarfile.TarFile, name: str) -> bytes:
    file = layout.extractfile(name)
    if file is None:
        raise BuildError(f"{layout.name!r} has no file {name}")
    return file.read()
