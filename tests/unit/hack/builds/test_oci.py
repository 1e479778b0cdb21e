"""OCI archives of an image for several platforms. That skopeo and containerd take them: tests/node/test_release.py."""

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hack.builds import oci
from hack.builds.commands import BuildError
from tests.unit.hack.builds.archives import docker_archive, layer

SHARED = layer({"etc/same": b"in both"})


def archives(folder: Path, *, mtime: int = 0) -> list[Path]:
    folder.mkdir()
    return [
        docker_archive(folder / f"{name}.tar", name, [SHARED, layer({"bin/own": name.encode()})], mtime=mtime)
        for name in ("amd64", "arm64")
    ]


def read(archive: Path) -> dict[str, bytes]:
    """The files of an archive; each is there once."""
    with tarfile.open(archive) as content:
        names = content.getnames()
        assert len(names) == len(set(names))
        return {name: content.extractfile(name).read() for name in names}  # type: ignore[union-attr] # all are files


def blob(files: dict[str, bytes], described: dict[str, Any]) -> bytes:
    """What a descriptor describes, which is as long as it says and has its digest."""
    content = files[f"blobs/{described['digest'].replace(':', '/')}"]
    assert len(content) == described["size"]
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == described["digest"]
    return content


def test_an_index_names_the_image_of_each_platform(tmp_path: Path) -> None:
    oci.write(tmp_path / "oci.tar", archives(tmp_path / "docker"), "registry.example/agent:0.1.0")
    files = read(tmp_path / "oci.tar")
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (index,) = json.loads(files["index.json"])["manifests"]
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert index["annotations"]["org.opencontainers.image.ref.name"] == "0.1.0"
    assert oci.index_digest(tmp_path / "oci.tar") == index["digest"]
    found = {}
    for described in json.loads(blob(files, index))["manifests"]:
        manifest = json.loads(blob(files, described))
        config = json.loads(blob(files, manifest["config"]))
        unpacked = [gzip.decompress(blob(files, part)) for part in manifest["layers"]]
        assert [f"sha256:{hashlib.sha256(part).hexdigest()}" for part in unpacked] == config["rootfs"]["diff_ids"]
        found[described["platform"]["architecture"]] = unpacked
    assert found == {name: [SHARED, layer({"bin/own": name.encode()})] for name in ("amd64", "arm64")}


def test_the_same_images_give_the_same_bytes_whenever_they_are_written(tmp_path: Path) -> None:
    oci.write(tmp_path / "one.tar", archives(tmp_path / "first", mtime=1), "agent:1")
    oci.write(tmp_path / "two.tar", archives(tmp_path / "second", mtime=2), "agent:1")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_layer_that_is_not_the_images_is_an_error(tmp_path: Path) -> None:
    good = docker_archive(tmp_path / "good.tar", "amd64", [SHARED])
    files = read(good)
    with tarfile.open(tmp_path / "bad.tar", "w") as bad:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            other = content if name.endswith(".json") else layer({"etc/same": b"replaced"})
            entry.size = len(other)
            (tmp_path / "part").write_bytes(other)
            with (tmp_path / "part").open("rb") as part:
                bad.addfile(entry, part)
    with pytest.raises(BuildError, match=r"the layer 0\.tar is not sha256:[0-9a-f]{64}, which the image names"):
        oci.write(tmp_path / "oci.tar", [tmp_path / "bad.tar"], "agent:1")
