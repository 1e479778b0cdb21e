"""The real controller process, with nothing but the rights that the manifests give it."""

import http.client
import sys
from pathlib import Path
from typing import Self

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.apiserver.identities import NAMESPACE
from tests.cluster.control_plane import ControlPlane
from tests.cluster.ports import free_port

CONTROLLER = "vmi-service-status-controller"
#: The flag with which a handler renews its Lease, as the DaemonSet passes it.
LEASE = f"--lease-namespace={NAMESPACE}"


class Controller(ManagedProcess):
    """One replica, as the Deployment runs it."""

    def __init__(self, plane: ControlPlane, folder: Path, name: str = "controller") -> None:
        self.http_port = free_port()
        kubeconfig = plane.kubeconfig_with(plane.token(NAMESPACE, CONTROLLER))
        argv = [sys.executable, "-m", "controller", LEASE, f"--kubeconfig={kubeconfig}"]
        super().__init__([*argv, f"--http-address=127.0.0.1:{self.http_port}"], log=folder / f"{name}.log")

    def start(self) -> Self:
        """Return when it has listed the objects that it watches."""
        super().start()
        wait_until(lambda: self._get("/readyz")[0], lambda code: code == 200, what="it is ready", timeout=60)
        return self

    def metric(self, sample: str) -> float:
        """The value of one sample, named as a scrape shows it."""
        lines = self._get("/metrics")[1].splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} "))

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()
