"""What tests do with the pods of a cluster with nodes, whichever process created them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.processes import ManagedProcess
from tests.cluster.administrator import Administrator
from tests.cluster.objects import Object

# A pod whose image is present runs within 2 s.
POD_TIMEOUT = 120.0


class Workloads(Administrator):
    """The administrator's methods of a cluster with nodes."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        """`folder` holds kubectl's cache and the logs."""
        super().__init__(kubeconfig, folder / "kubectl")
        self.folder = folder

    @contextmanager
    def port_forward(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """Return the port on 127.0.0.1 that is forwarded to a pod, or to one pod of a service (`service/NAME`)."""
        command = self.kubectl.command("port-forward", f"--namespace={namespace}", target, f":{port}")
        log = self.folder / f"port-forward-{namespace}-{target.replace('/', '-')}.log"
        with ManagedProcess(command, log=log, env=self.kubectl.environment) as forwarding:
            line = forwarding.wait_for_log("Forwarding from 127.0.0.1:")
            yield int(line.split("127.0.0.1:")[1].split()[0])

    def run_pod(self, manifest: Object) -> Object:
        """Create a pod and return it once it is Ready."""
        created = self.create(manifest)
        name, namespace = created["metadata"]["name"], created["metadata"]["namespace"]
        ready = ("--for=condition=Ready", f"--timeout={POD_TIMEOUT:g}s")
        self.kubectl("wait", *ready, f"pod/{name}", f"--namespace={namespace}", timeout=POD_TIMEOUT + 10)
        return created

    def exec(self, namespace: str, pod: str, *command: str) -> str:
        """Run a command in a pod's first container and return its standard output."""
        return self.kubectl("exec", f"--namespace={namespace}", pod, "--", *command)
