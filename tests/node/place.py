"""Where the tests of this part run: on a node of the project's own, or in a foreign cluster (`KUBECONFIG_E2E`).

A test that needs more than the API declares it, `@pytest.mark.needs(Ability...)`. Where the place cannot do that, the
test is left out at collection, with a line that says why; on the project's own node no test is left out.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hack.builds.images import REGISTRY
from testbed.addresses import UnixAddress
from tests.apiserver.client import Client
from tests.cluster.images import BUSYBOX
from tests.cluster.node import Node
from tests.cluster.workloads import Workloads
from tests.node.archives import AGENT, HANDLER
from tests.node.launcher.image import LAUNCHER


class Ability(Enum):
    """What a test can do only on a node of the project's own; the text says what the test does."""

    IMPORT = "it gives the node an image of its own making"
    POWER = "it stops the node and starts it again"
    LOOK = "it looks into the node: files, processes, cgroups"
    OWN = "it is about the project's own clusters"


@dataclass(frozen=True)
class Images:
    """Images that the nodes have, or can pull."""

    handler: str
    agent: str
    launcher: str
    busybox: str
    # If nothing can be pulled, a missing image must fail at once.
    pull_policy: str


# As the archives name them.
LOADED = Images(f"{REGISTRY}/{HANDLER}:dev", f"{REGISTRY}/{AGENT}:dev", LAUNCHER, BUSYBOX, "Never")


@dataclass(frozen=True)
class PodSocket:
    """A socket in an emptyDir of a pod, which a container has mounted."""

    namespace: str
    pod: str
    uid: str
    container: str
    volume: str
    mount: str
    # Its path in the volume.
    name: str

    @property
    def inside(self) -> str:
        """Its path in the container."""
        return f"{self.mount}/{self.name}"


class Place(ABC):
    """A cluster and what a test may do with it; everything else needs an ability."""

    cluster: Workloads
    # The admin's.
    client: Client
    # On which the tests' launcher pods run.
    node_name: str
    images: Images
    # The kustomization that installs the project here.
    overlay: Path

    @property
    @abstractmethod
    def node(self) -> Node:
        """Its inside; the ability is LOOK, or POWER."""

    @abstractmethod
    def volumes(self, pod_uid: str) -> Path:
        """The path of a pod's emptyDirs on this machine; the ability is LOOK."""

    @abstractmethod
    def has(self, socket: PodSocket) -> bool:
        """Return whether the socket exists."""

    @abstractmethod
    def address(self, socket: PodSocket) -> UnixAddress:
        """Return the address at which a client on this machine reaches it."""
