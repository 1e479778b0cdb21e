"""A registry of images on the node, with a password or open to all: Debian's docker-registry."""

import base64
import hashlib
import io
import json
import os
import signal
import tarfile
from pathlib import Path

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.cluster import debian
from tests.cluster.node import Node
from tests.cluster.objects import Object

# On the node's own loopback, where containerd uses plain HTTP. Nothing else of the node listens there.
ADDRESS = "127.0.0.1:5005"
USER, PASSWORD = "vss", "secret"
# PASSWORD, as `htpasswd -B` writes it.
HTPASSWD = f"{USER}:$2b$04$9PrTANtKvumrIlcFoNRqu.8zQNdQN425OL16S73ZG8kQ8eESs40raW\n"


class Registry:
    """Runs from enter to exit."""

    def __init__(self, node: Node, folder: Path, *, is_open: bool = False) -> None:
        (folder / "htpasswd").write_text(HTPASSWD)
        config: Object = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
            "http": {"addr": ADDRESS},
        }
        if not is_open:
            config["auth"] = {"htpasswd": {"realm": "registry", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(config))
        command = node.command(debian.unpacked() / "usr/bin/docker-registry", "serve", folder / "config.yml")
        self._node = node
        self._folder = folder
        self._process = ManagedProcess(command, log=folder / "registry.log")

    def __enter__(self) -> "Registry":
        self._process.start()
        self._process.wait_for_log("listening on")
        return self

    def __exit__(self, *_: object) -> None:
        """The command that enters the node waits for the registry, and ends after it."""
        (child,) = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        wait_until(lambda: not self._process.running, what="the registry has ended")

    def push(self, archive: Path, name: str) -> str:
        """Push a variant of an archive's image; return its name, which the node does not have.

        The variant has an ID of its own. The kubelet records by ID which images were pulled with a secret, and would
        deny the node's own image to every pod without that secret from then on.
        """
        pushed = f"{ADDRESS}/{name}"
        self._node.import_images(variant(archive, self._folder / "variant.tar", pushed))
        self._node.ctr("images", "push", "--plain-http", f"--user={USER}:{PASSWORD}", pushed)
        self._node.ctr("images", "rm", "--sync", pushed)
        return pushed


def variant(archive: Path, to: Path, name: str) -> Path:
    """Write a docker archive with the same layers, another configuration and another name.

    An image of the same configuration is the same one for a kubelet: it is forgotten under all names at once.
    """
    with tarfile.open(archive) as source, tarfile.open(to, "w") as target:
        (manifest,) = json.loads(_read(source, "manifest.json"))
        config = json.loads(_read(source, manifest["Config"]))
        config["config"]["Labels"] = {**(config["config"].get("Labels") or {}), "variant": "registry"}
        content = json.dumps(config).encode()
        manifest |= {"Config": f"{hashlib.sha256(content).hexdigest()}.json", "RepoTags": [name]}
        _write(target, manifest["Config"], content)
        _write(target, "manifest.json", json.dumps([manifest]).encode())
        for layer in manifest["Layers"]:
            _write(target, layer, _read(source, layer))
    return to


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _write(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def pull_secret(name: str, namespace: str) -> Object:
    """A Secret with the registry's password."""
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": {ADDRESS: {"auth": auth}}})},
    }
