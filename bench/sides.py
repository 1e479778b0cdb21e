"""Starts handler, launcher and load of the sides by one interface: ours, the peer's, and ours of an earlier revision.

All sides get the same VMIs, the same rights and the same images, and write the same field of the VMI.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bench.containers import Container, Root
from testbed import procfs
from testbed.vm import VirtualMachine
from tests.apiserver.nodes import POD, Node
from tests.apiserver.vmis import Vmi
from tests.cluster.tools import REPOSITORY

OURS: Final = "ours"
PEER: Final = "peer"
#: Ours at the revision that `--against` names. Its launchers of a whole node are today's.
BEFORE: Final = "before"


@dataclass(frozen=True)
class Roots:
    """The images' files, with the peer's programs next to ours.

    Each side has a copy of the agent's image, so that neither uses pages that the other has read.
    """

    agent: Mapping[str, Root]
    handler: Mapping[str, Root]
    peer: Path


class Side:
    """One of the sides."""

    def __init__(self, name: str, roots: Roots, folder: Path) -> None:
        """`folder` holds the logs."""
        self.name = name
        self.roots = roots
        self._folder = folder

    @property
    def ours(self) -> bool:
        """Whether it runs this project's programs, of whichever revision."""
        return self.name != PEER

    def socket(self, vmi: Vmi) -> Path:
        """Return the handler's socket in the pod's directory."""
        return vmi.socket if self.ours else vmi.socket.with_name("notify.sock")

    def handler(self, node: Node, publisher: str = "vmi-status") -> Container:
        """Return the node's handler. Only ours uses `publisher`."""
        common = {"node-name": node.name, "kubeconfig": node.kubeconfig()}
        if self.ours:
            # Next to the pods' folder, whose path is short enough for a socket. The node's opener runs beside it.
            admin = node.pods.path.with_name("admin.sock")
            flags = {**common, "opener": node.opener_socket, "publisher": publisher, "admin-socket": admin}
            program = "/usr/bin/handler-service"
        else:
            flags, program = {**common, "pods-dir": node.pods.path}, "/usr/bin/peer-handler"
        argv = [program, *(f"--{flag}={value}" for flag, value in flags.items())]
        if self.ours:
            argv.append("--no-events")  # which the peer does not write either
        return Container(self.roots.handler[self.name], argv, self._log("handler"))

    def launcher(self, vm: VirtualMachine, vmi: Vmi, env: Mapping[str, str] | None = None) -> Container:
        """Return the launcher of a VM. `env` is added to its environment."""
        common = {
            "libvirt-uri": vm.libvirtd.uri,
            "domain": vm.name,
            "handler-socket": self.socket(vmi),
            "namespace": vmi.namespace,
            "name": vmi.name,
        }
        # With its debug API, as it is deployed; the socket is in the pod.
        flags = {**common, "admin-socket": vmi.socket.with_name("agent.sock")} if self.ours else common
        program = "/usr/bin/launcher-agent" if self.ours else "/usr/bin/peer-launcher"
        argv = [program, *(f"--{flag}={value}" for flag, value in flags.items())]
        return Container(self.roots.agent[self.name], argv, self._log("launcher"), user=POD, env=env)

    def launcher_of_a_pod(self, vm: VirtualMachine, vmi: Vmi) -> Container:
        """Return the launcher of the only VM of a libvirt without any flag, as it is started in a launcher pod."""
        _, _, socket = vm.libvirtd.uri.partition("socket=")
        binds = {Path(socket): "var/run/libvirt/virtqemud-sock", self.socket(vmi).parent: "var/run/service-status"}
        root = self.roots.agent[self.name]
        return Container(root, ["/usr/bin/launcher-agent"], self._log("launcher"), user=POD, binds=binds)

    def forget_pages(self) -> None:
        """Drop the files from the page cache, so that the next launcher is charged like the first one of a node."""
        self.roots.agent[self.name].forget_pages()

    def load(self, vmis: Sequence[Vmi], spread: float) -> "Load":
        """Return the launchers of all these VMIs, in one process. Ours start within `spread` seconds, at random."""
        # The peer's send nothing by themselves, so it is all the same when they start.
        options = {"spread": spread} if self.ours else {}
        program = [sys.executable, "-m", "bench.load"] if self.ours else [str(self.roots.peer / "peer-load")]
        return Load(program, [self._target(vmi) | options for vmi in vmis], self._log("load"))

    def _target(self, vmi: Vmi) -> dict[str, Any]:
        socket = str(self.socket(vmi))
        return {"socket": socket, "namespace": vmi.namespace, "name": vmi.name, "uid": vmi.uid}

    def _log(self, what: str) -> Path:
        return self._folder / f"{self.name}-{what}.log"


class Load:
    """Launchers that execute commands. They end with this process, because their input ends."""

    def __init__(self, program: Sequence[str], targets: Sequence[dict[str, Any]], log: Path) -> None:
        self._program = program
        self._targets = targets
        self._log = log

    def __enter__(self) -> Self:
        file = self._log.with_name(f"{self._log.stem}-{time.monotonic_ns()}.json")
        file.write_text(json.dumps(self._targets))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, str(file)], cwd=REPOSITORY, text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, do: str, **arguments: Any) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Wait for the response to a command."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._program[-1]} has ended:\n{self._log.read_text()[-2000:]}"
        return dict(json.loads(line))

    def do(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its response."""
        self.begin(do, **arguments)
        return self.end()

    def cpu_seconds(self) -> float:
        return procfs.cpu_seconds(self._process.pid)
