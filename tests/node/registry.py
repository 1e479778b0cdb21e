"""A registry of images on the node, which asks for a password: Debian's docker-registry."""

import base64
import json
from pathlib import Path

from testbed.processes import ManagedProcess
from tests.cluster import debian
from tests.cluster.node import Node
from tests.cluster.objects import Object

# On the node's own loopback, where containerd speaks plain HTTP. Nothing else of the node listens there.
ADDRESS = "127.0.0.1:5005"
USER, PASSWORD = "vss", "secret"
# PASSWORD, as `htpasswd -B` writes it.
HTPASSWD = f"{USER}:$2b$04$9PrTANtKvumrIlcFoNRqu.8zQNdQN425OL16S73ZG8kQ8eESs40raW\n"


class Registry:
    """Runs from enter to exit."""

    def __init__(self, node: Node, folder: Path) -> None:
        (folder / "htpasswd").write_text(HTPASSWD)
        config = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
            "http": {"addr": ADDRESS},
            "auth": {"htpasswd": {"realm": "registry", "path": str(folder / "htpasswd")}},
        }
        (folder / "config.yml").write_text(json.dumps(config))
        command = node.command(debian.unpacked() / "usr/bin/docker-registry", "serve", folder / "config.yml")
        self._node = node
        self._process = ManagedProcess(command, log=folder / "registry.log")

    def __enter__(self) -> "Registry":
        self._process.start()
        self._process.wait_for_log("listening on")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()

    def push(self, image: str, name: str) -> str:
        """Push an image that the node has; the name by which the registry has it, and the node does not."""
        pushed = f"{ADDRESS}/{name}"
        self._node.ctr("images", "tag", f"docker.io/{image}", pushed)
        self._node.ctr("images", "push", "--plain-http", f"--user={USER}:{PASSWORD}", pushed)
        self._node.ctr("images", "rm", "--sync", pushed)
        return pushed


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
