"""The real controller process, with nothing but the rights that the manifests give it."""

import sys
from pathlib import Path
from typing import Self

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.apiserver.http_get import get
from tests.apiserver.identities import NAMESPACE
from tests.cluster.control_plane import ControlPlane
from tests.cluster.ports import free_port

CONTROLLER = "vmi-service-status-controller"
#: The flag with which a handler renews its Lease, as the DaemonSet passes it.
LEASE = f"--lease-namespace={NAMESPACE}"


class Controller(ManagedProcess):
    """One replica, as the Deployment runs it."""

    def __init__(self, plane: ControlPlane, folder: Path, name: str = "controller") -> None:
        self.probe_port, self.metrics_port = free_port(), free_port()
        kubeconfig = plane.kubeconfig_with(plane.token(NAMESPACE, CONTROLLER))
        argv = [sys.executable, "-m", "controller", LEASE, f"--kubeconfig={kubeconfig}"]
        ports = [f"--probe-address=127.0.0.1:{self.probe_port}", f"--metrics-address=127.0.0.1:{self.metrics_port}"]
        super().__init__([*argv, *ports], log=folder / f"{name}.log")

    def start(self) -> Self:
        """Return when it has listed the objects that it watches."""
        super().start()
        wait_until(self.probe, lambda code: code == 200, what="it is ready", timeout=60)
        return self

    def metric(self, sample: str) -> float:
        """The value of one sample, named as a scrape shows it."""
        lines = get(self.metrics_port, "/metrics")[1].splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} "))

    def probe(self) -> int:
        """The HTTP status that the kubelet's readiness probe would see; 0 where it has no answer."""
        return get(self.probe_port, "/readyz")[0]
