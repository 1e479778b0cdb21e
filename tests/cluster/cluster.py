"""A real cluster on one machine: nodes in namespaces of their own, joined by a bridge, and a control plane.

Outside its namespaces a cluster has a folder, a cgroup and a link to its nodes' network. The names of the last two
follow from the folder. Nothing else is recorded that could become stale, so `down` finds and removes everything, also
after its starter was killed at any moment.
"""

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.waiting import wait_until
from tests.cluster import links
from tests.cluster.cgroups import Tree
from tests.cluster.kubeconfig import kubeconfig_path
from tests.cluster.mutex import held, held_if_free
from tests.cluster.namespaces import Namespaces
from tests.cluster.node import Node
from tests.cluster.plan import (
    CONTROL_PLANE,
    FIRST_SERVICE,
    MAX_NODES,
    PREFIX,
    Plan,
    cluster_id,
    is_plan_folder,
    read_plan,
)
from tests.cluster.server import READY_TIMEOUT
from tests.cluster.store import copy_store, prepared_store
from tests.cluster.tools import require, require_system
from tests.cluster.workloads import Workloads

TOOLS = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"),
    *("containerd", "containerd-shim-runc-v2", "ctr", "kubelet", "kube-proxy"),
)
SYSTEM_TOOLS = ("apt-get", "dpkg", "ip", "iptables", "mount", "nsenter", "openssl", "setpriv", "setsid", "unshare")
# A start takes 10 s, and more when images have to be unpacked first; a second start waits for the first.
LOCK_TIMEOUT = 300.0


class Cluster(Workloads):
    """The cluster in a folder, whichever process started it."""

    # The address at which pods reach the API server.
    api_service = FIRST_SERVICE

    def __init__(self, folder: Path, *, nodes: int = 1, images: Sequence[Path] = ()) -> None:
        """`images` are docker archives that each node has imported at its start; see `images.write_archive`."""
        if not 1 <= nodes <= MAX_NODES:
            raise ValueError(f"a cluster has 1 to {MAX_NODES} nodes, not {nodes}")
        folder = folder.resolve()
        for made in ("/var", "/run"):
            if folder.is_relative_to(made):
                raise ValueError(f"{folder}: a node has a {made} of its own and would not find its folder there")
        super().__init__(folder, kubeconfig_path(folder / CONTROL_PLANE, "admin"))
        self.id = cluster_id(self.folder)
        self._size = nodes
        self._images = images
        self._spaces: tuple[Namespaces, ...] = ()
        self.nodes: tuple[Node, ...] = ()

    @classmethod
    def attach(cls, folder: Path) -> "Cluster":
        """Return a running cluster that another process started."""
        cluster = cls(folder)
        if not cluster.is_up:
            raise ValueError(f"no cluster is up in {folder}")
        cluster._take(read_plan(cluster.folder))
        return cluster

    @property
    def is_up(self) -> bool:
        """Return whether its last start was completed and everything that it started still runs."""
        if not self._ready_file.exists() or not self._trees():
            return False
        return all(spaces.running for spaces in self._namespaces(read_plan(self.folder)))

    @property
    def _plane(self) -> Namespaces:
        return self._spaces[0]

    @property
    def _ready_file(self) -> Path:
        return self.folder / "ready"

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()

    def up(self, *, detached: bool = False) -> Self:
        """Start it from nothing and return when every node is Ready. Unless detached, it ends with this process."""
        require_system(*SYSTEM_TOOLS)
        require(*TOOLS)
        store = prepared_store(self._images)
        with self._lock():
            self._sweep()
            try:
                self._start(store, detached=detached)
            except BaseException as error:
                error.add_note(self._logs())
                self._remove()
                raise
        return self

    def down(self) -> None:
        """End it and remove everything that it has, also what a killed start left."""
        with self._lock():
            self._remove()

    def _lock(self) -> AbstractContextManager[None]:
        return held(f"cluster/{self.id}", timeout=LOCK_TIMEOUT)

    def _trees(self) -> list[Tree]:
        return Tree.find(self.id)

    def _sweep(self) -> None:
        """Remove what is left of this cluster, and the empty cgroups of clusters that no process starts or runs."""
        self._remove()
        if self.folder.exists():
            raise ValueError(f"{self.folder} holds something else than a cluster; choose another folder")
        for tree in Tree.find(PREFIX):
            with held_if_free(f"cluster/{tree.name}") as free:
                if free and not tree.processes():
                    tree.remove()

    def _start(self, store: Path, *, detached: bool) -> None:
        Tree.create(self.id)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Another process that chooses a network looks at the links that exist.
        with held("cluster-network", timeout=LOCK_TIMEOUT):
            plan = Plan(self.folder, links.free_network(int(self.id[-2:], 16)), self._size)
            plan.write()
            self._take(plan)
            self._plane.start(detached=detached)
            links.connect_machine(plan, self._plane)
        for node in self.nodes:
            copy_store(store, node.folder / "containerd")
            node.start(detached=detached, wait=False)
        self._wait_ready()
        self._ready_file.touch()

    def _take(self, plan: Plan) -> None:
        self._spaces = self._namespaces(plan)
        self.nodes = tuple(Node(spaces, self._plane, self.kubectl) for spaces in self._spaces[1:])

    def _namespaces(self, plan: Plan) -> tuple[Namespaces, ...]:
        """Return the namespaces of the control plane and of each node."""
        (tree,) = self._trees()
        names = (CONTROL_PLANE, *(f"n{number}" for number in plan.numbers))
        return tuple(Namespaces(name, self.folder, tree) for name in names)

    def _wait_ready(self) -> None:
        wait_until(self._serves, what="the control plane serves", timeout=READY_TIMEOUT, interval=0.1)
        for node in self.nodes:
            node.wait_ready()

    def _serves(self) -> bool:
        assert self._plane.running, "the control plane's namespaces have ended"
        return self.has_account("default")

    def _remove(self) -> None:
        """End the processes first: links and cgroups in use cannot be removed."""
        for tree in self._trees():
            tree.remove()
        for spaces in self._spaces:
            spaces.reap()
        links.disconnect_machine(self.id)
        self.nodes, self._spaces = (), ()
        if is_plan_folder(self.folder):
            shutil.rmtree(self.folder)

    def _logs(self) -> str:
        return "\n".join(spaces.log_tail() for spaces in self._spaces)
