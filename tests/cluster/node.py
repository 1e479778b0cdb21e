"""A node of a cluster, seen from outside: start, stop, commands, and images."""

from pathlib import Path

from testbed.waiting import wait_until
from tests.cluster import links
from tests.cluster.commands import run
from tests.cluster.kubectl import Kubectl
from tests.cluster.namespaces import Namespaces
from tests.cluster.server import READY_TIMEOUT
from tests.cluster.tools import tool

# KubeVirt's images, two gigabytes, take 11 s.
IMPORT_TIMEOUT = 300.0


class Node:
    """One node. Its disk (the folders of kubelet and containerd) outlasts a stop, nothing else does."""

    def __init__(self, spaces: Namespaces, plane: Namespaces, kubectl: Kubectl) -> None:
        self.name = spaces.name
        self.folder = spaces.log.parent
        self._spaces = spaces
        self._plane = plane
        self._kubectl = kubectl
        self._seen = ""

    @property
    def running(self) -> bool:
        return self._spaces.running

    def start(self, *, detached: bool = False, wait: bool = True) -> None:
        """Boot it, and return when it is Ready again. Unless detached, it ends with this process."""
        self._spaces.start(detached=detached)
        links.connect_node(self._plane, self._spaces)
        if wait:
            self.wait_ready()

    def stop(self) -> None:
        """Like a power cut."""
        self._seen = self._renewed()
        self._spaces.stop()
        links.disconnect_node(self._plane, self._spaces)

    def wait_ready(self) -> None:
        """Return when its kubelet has renewed its lease since its last start, and reports Ready."""
        wait_until(self._is_ready, what=f"{self.name} is Ready", timeout=READY_TIMEOUT, interval=0.1)

    def _is_ready(self) -> bool:
        assert self.running, f"{self.name} has ended"
        ready = "{.status.conditions[?(@.type=='Ready')].status}"
        return self._renewed() != self._seen and self._get(f"node/{self.name}", ready) == "True"

    def _renewed(self) -> str:
        """Return when its kubelet last renewed its lease, as it does at its start; the node's status may not change."""
        return self._get(f"lease/{self.name}", "{.spec.renewTime}", "--namespace=kube-node-lease")

    def _get(self, what: str, field: str, *flags: str) -> str:
        """Return a field of an object; empty while the object does not exist."""
        return self._kubectl("get", what, f"--output=jsonpath={field}", *flags, check=False)

    def exec(self, *command: str | Path, timeout: float = 60.0) -> str:
        """Run a command on the node and return its standard output."""
        return run(*self.command(*command), timeout=timeout)

    def command(self, *argv: str | Path) -> list[str | Path]:
        """Return the command line that runs a command on the node."""
        return self._spaces.command(*argv)

    def ctr(self, *arguments: str | Path, timeout: float = 60.0) -> str:
        """Run containerd's own client, in the namespace of kubelet's images and containers."""
        return self.exec(tool("ctr"), "--namespace=k8s.io", *arguments, timeout=timeout)

    def import_images(self, archive: Path) -> None:
        """Import the images of a docker archive into the node."""
        self.ctr("images", "import", archive, timeout=IMPORT_TIMEOUT)

    def log_tail(self) -> str:
        return self._spaces.log_tail()
