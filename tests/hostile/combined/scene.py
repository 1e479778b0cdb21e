"""A node with 20 honest and 60 hostile pods, and its real handler in a cgroup with the DaemonSet's memory limit."""

import contextlib
import dataclasses
import tempfile
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from testbed.commands import Child, Command
from testbed.processes import launch_here
from testbed.staged import Staged
from tests.apiserver.client import Client
from tests.apiserver.identities import BASE, install
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi
from tests.cluster.cgroups import Tree
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import WITH_SERVICE_STATUS
from tests.hostile.combined.honest import Honest
from tests.hostile.limits import Limits, limited

HONEST: Final = 20
HOSTILE: Final = 60


class Scene(Staged):
    """`with Scene(seed) as scene:` all agents of the honest VMs are connected, and their companions are right."""

    def __init__(self, seed: int) -> None:
        """`seed` decides what the honest agents report."""
        super().__init__()
        self._seed = seed

    def _start(self) -> None:
        enter = self._stack.enter_context
        # Its path is short: a unix socket's holds 107 bytes.
        self.folder = Path(enter(tempfile.TemporaryDirectory(prefix="vss-attack-", dir="/tmp")))
        self.folder.chmod(0o755)
        plane = enter(ControlPlane(self.folder / "plane", resources=[WITH_SERVICE_STATUS, BASE]))
        install(plane)
        client = enter(contextlib.closing(Client(plane.kubeconfig)))
        node = enter(Node(plane, f"node-{uuid.uuid4().hex[:8]}"))
        # Accounts and tokens are made; from here on it would only take part of the CPU.
        plane.controller_manager.kill()
        honest = _vmis(client, node, "honest", HONEST)
        self.sockets = [self._short(vmi) for vmi in _vmis(client, node, "hostile", HOSTILE)]
        tree = enter(limited("attack", Limits.of("daemonset.yaml", "handler")))
        self.handler: Handler = enter(node.handler(launch=_within(tree)))
        self.honest: Honest = enter(Honest(client, honest, enter(Peers()), self._seed))
        self.start_memory = self.peak_memory()

    def peak_memory(self) -> int:
        """Return the handler's highest resident memory since the last call, in bytes; 0 if it has ended."""
        process = Path("/proc") / str(self.handler.pid)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            if "VmHWM" in fields:
                (process / "clear_refs").write_text("5")  # proc(5): resets VmHWM
                return int(fields["VmHWM"].split()[0]) * 1024
        return 0

    def _short(self, vmi: Vmi) -> Path:
        """Return a path of the VMI's socket that fits into the address of a unix socket."""
        link = self.folder / vmi.name
        link.symlink_to(vmi.socket.parent)
        return link / vmi.socket.name


def _vmis(client: Client, node: Node, namespace: str, number: int) -> list[Vmi]:
    client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    vmis = [Vmi(client, namespace, f"{namespace}-{index:02}") for index in range(number)]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(node.run, vmis))


def _within(tree: Tree) -> Callable[[Command], Child]:
    def launch(command: Command) -> Child:
        return launch_here(dataclasses.replace(command, argv=[str(part) for part in tree.entering(command.argv)]))

    return launch
