"""A kubelet and its containerd without an API server: it runs the pods whose files are in a folder.

A control plane computes more than the node. In an emulated VM on a busy machine it exceeds the time limits that it has
for its own start. What a node does with a pod's cgroups needs none.
"""

import json
import os
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.waiting import scaled
from tests.cluster import debian
from tests.cluster.commands import run
from tests.cluster.node_config import CONTAINERD_SOCKET, NodeConfig
from tests.cluster.objects import Object
from tests.cluster.server import Server, accepts
from tests.cluster.store import copy_store
from tests.cluster.tools import tool
from tests.node.place import LOADED

NAME = "vm"
PORT = 10255
ADDRESS = "10.213.0.11/24"


class StandaloneConfig(NodeConfig):
    """What differs without an API server that would say who may ask."""

    def _kubelet(self) -> dict[str, object]:
        config = super()._kubelet()
        # As by default since 1.35: this kubelet refuses a machine with cgroup v1.
        del config["failCgroupV1"]
        return config | {
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "address": "127.0.0.1",
            "readOnlyPort": PORT,
            "staticPodPath": str(self.pod_files),
            "fileCheckFrequency": "1s",
        }

    @property
    def pod_files(self) -> Path:
        return self.folder / "pods"


class Kubelet:
    """The node of this VM, which it has for itself: nothing is put back at its end."""

    images = LOADED
    node_name = NAME

    def __init__(self, folder: Path, store: Path) -> None:
        """`store` is containerd's, with the images that the pods name."""
        self._folder = folder
        self._store = store
        self._config = StandaloneConfig(folder, NAME, "10.214.1.0/24", debian.unpacked(), Path(), Path())
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self._config.pod_files.mkdir(parents=True)
        copy_store(self._store, self._folder / "containerd")
        for name in ("containerd", "kubelet"):
            (self._folder / name).mkdir(exist_ok=True)
            Path("/var/lib", name).mkdir(exist_ok=True)
            run("mount", "--bind", self._folder / name, f"/var/lib/{name}")
        run("mount", "--make-rshared", "/")
        # The address that a kubelet looks for.
        run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        run("ip", "address", "add", ADDRESS, "dev", "eth0")
        for link in ("eth0", "eth1"):
            run("ip", "link", "set", link, "up")
        run("ip", "route", "add", "default", "dev", "eth0")
        os.environ["PATH"] = f"{debian.unpacked() / 'usr/sbin'}:{os.environ['PATH']}"
        containerd: list[str | Path] = [tool("containerd"), "--config", self._config.containerd()]
        kubelet: list[str | Path] = [
            tool("kubelet"),
            f"--config={self._config.kubelet()}",
            f"--hostname-override={NAME}",
        ]
        self._serve("containerd", containerd, lambda: accepts(CONTAINERD_SOCKET))
        self._serve("kubelet", kubelet, self._answers)
        return self

    def _serve(self, name: str, argv: Sequence[str | Path], ready: Callable[[], bool]) -> None:
        self._running.enter_context(Server(argv, log=self._folder / f"{name}.log", ready=ready))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.close()

    def _answers(self) -> bool:
        try:
            self.pods()
        except OSError:
            return False
        return True

    def pods(self) -> Mapping[str, Object]:
        """Return its pods with their status, by their names."""
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/pods", timeout=scaled(10)) as answer:
            items = json.load(answer)["items"] or []
        # The kubelet appends its own name.
        return {pod["metadata"]["name"].removesuffix(f"-{NAME}"): pod for pod in items}

    def run(self, pod: Object) -> None:
        """Give it a pod; the file is renamed into place, since a part of it would be an error."""
        new = self._folder / "new.json"
        new.write_text(json.dumps(pod))
        new.rename(self._file(pod["metadata"]["name"]))

    def end(self, name: str) -> None:
        self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._config.pod_files / f"{name}.json"

    def ctr(self, *arguments: str) -> str:
        return run(tool("ctr"), "--namespace=k8s.io", *arguments)

    def log_of(self, pod: Object, container: str) -> str:
        """Return the log of all runs of a container."""
        folders = Path("/var/log/pods").glob(f"*_{pod['metadata']['uid']}/{container}")
        return "".join(file.read_text() for folder in folders for file in sorted(folder.glob("*.log")))
