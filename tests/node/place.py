"""Where the tests of this part run: on a node of the project's own, or in somebody's cluster (`KUBECONFIG_E2E`).

A test that needs more of it than the API says so, `@pytest.mark.needs(Ability...)`. Where the place does not give that,
the test is left out as tests are collected, with a line that says why; on the project's own node nothing ever is.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from testbed.addresses import UnixAddress
from tests.apiserver.client import Client
from tests.cluster.images import BUSYBOX
from tests.cluster.node import Node
from tests.cluster.workloads import Workloads
from tests.node.archives import AGENT, HANDLER
from tests.node.launcher.image import LAUNCHER


class Ability(Enum):
    """What only a node of our own lets a test do; the words say what the test does."""

    IMPORT = "it gives the node an image of its own making"
    POWER = "it stops the node and starts it again"
    LOOK = "it looks into the node: files, processes, cgroups"
    OWN = "it is about the project's own clusters"


@dataclass(frozen=True)
class Images:
    """What the nodes have, or know where to get."""

    handler: str
    agent: str
    launcher: str
    busybox: str
    # Where nothing can be pulled, an image that is missing shall fail at once.
    pull_policy: str


# As the archives name them.
LOADED = Images(f"vmi-service-status/{HANDLER}:dev", f"vmi-service-status/{AGENT}:dev", LAUNCHER, BUSYBOX, "Never")


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
    """A cluster and what a test may do with it; all that is not here needs an ability."""

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
        """Where the machine sees a pod's emptyDirs; the ability is LOOK."""

    @abstractmethod
    def has(self, socket: PodSocket) -> bool:
        """Whether it is there."""

    @abstractmethod
    def address(self, socket: PodSocket) -> UnixAddress:
        """Where a client on this machine dials to get to it."""
