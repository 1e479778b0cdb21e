"""A node of the project's own, which a test may also look into and switch off."""

from pathlib import Path

from testbed.addresses import UnixAddress
from tests.apiserver.client import Client
from tests.cluster.cluster import Cluster
from tests.cluster.node import Node
from tests.cluster.tools import REPOSITORY
from tests.node.place import LOADED, Place, PodSocket


class Site(Place):
    """The first node of a cluster."""

    cluster: Cluster
    images = LOADED
    overlay = REPOSITORY / "manifests/overlays/test-node"

    def __init__(self, cluster: Cluster, client: Client, links: Path) -> None:
        """`links` is a directory for links: a socket's path holds 107 bytes, and the kubelet's are longer."""
        self.cluster = cluster
        self.client = client
        self.node_name = cluster.nodes[0].name
        self._links = links

    @property
    def node(self) -> Node:
        return self.cluster.nodes[0]

    def volumes(self, pod_uid: str) -> Path:
        link = self._links / pod_uid[:13]
        if not link.is_symlink():
            link.symlink_to(self.node.folder / "kubelet/pods" / pod_uid / "volumes/kubernetes.io~empty-dir")
        return link

    def has(self, socket: PodSocket) -> bool:
        return self.address(socket).path.exists()

    def address(self, socket: PodSocket) -> UnixAddress:
        return UnixAddress(self.volumes(socket.uid) / socket.volume / socket.name)
