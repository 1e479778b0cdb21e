"""A bare control plane: etcd, kube-apiserver and kube-controller-manager, on loopback, as children of the test process.

There are no nodes: Node and Pod objects are only objects, which no kubelet runs or ends. That suffices for everything
that the API server itself decides: schemas, admission policies, RBAC, tokens bound to pods, garbage collection by
ownerReferences, and what clients see while it is down.
"""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.processes import ManagedProcess
from tests.cluster.administrator import Administrator
from tests.cluster.components import Components, Endpoint
from tests.cluster.kinds import define_kinds
from tests.cluster.kubectl import Kubectl
from tests.cluster.ports import free_port
from tests.cluster.server import Server, accepts
from tests.cluster.tools import require, require_system


class ControlPlane(Administrator):
    """One control plane over one folder.

    `etcd`, `apiserver` and `controller_manager` may be stopped, killed and started separately; they restart on the same
    port with the same data.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        resources: Sequence[Path] = (),
        endpoint: Endpoint | None = None,
        apiserver_flags: Sequence[str] = (),
    ) -> None:
        """Without a folder it uses a temporary one, which it removes at the end.

        `resources` are kustomizations, applied after the project's kinds and before the controller manager starts.
        CustomResourceDefinitions belong there: its garbage collector looks for new kinds every 30 s only.
        """
        require_system("openssl", "setpriv")
        require("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
        self._temporary = None if folder else Path(tempfile.mkdtemp(prefix="control-plane-"))
        self.folder = folder or self._temporary or Path()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resources = resources
        self._components = Components(self.folder, endpoint or Endpoint("127.0.0.1", free_port()))
        super().__init__(self.add_user("admin", "system:masters"), self.folder / "kubectl")
        self.etcd = self._server("etcd", self._components.etcd(), lambda: accepts(self._components.etcd_socket))
        self.apiserver = self._server(
            "apiserver", [*self._components.apiserver(), *apiserver_flags], lambda: self._api.has("/readyz")
        )
        manager = self._components.controller_manager(self.add_user("system:kube-controller-manager"))
        self.controller_manager = self._server("controller-manager", manager, lambda: self.has_account("default"))

    def add_user(self, user: str, group: str = "") -> Path:
        """Return the kubeconfig of a user, or service, that the API server knows from its next start on."""
        return self._components.kubeconfig(user, group)

    def scheduler(self) -> ManagedProcess:
        """Return kube-scheduler, for a control plane with nodes; the caller starts and stops it."""
        argv = self._components.scheduler(self.add_user("system:kube-scheduler"))
        return ManagedProcess(argv, log=self.folder / "scheduler.log")

    def _server(self, name: str, argv: Sequence[str | Path], ready: Callable[[], bool]) -> Server:
        return Server(argv, log=self.folder / f"{name}.log", ready=ready)

    @property
    def url(self) -> str:
        return self._components.endpoint.url

    @property
    def ca(self) -> Path:
        """The certificate by which clients verify the API server."""
        return self._components.authority.ca.certificate

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Return when all three serve; a failure leaves none of them running."""
        with ExitStack() as undo:
            undo.callback(self.stop)
            self.etcd.start()
            self.apiserver.start()
            if self._resources:
                define_kinds(self.kubectl)
            for kustomization in self._resources:
                self.apply(kustomization)
            self.controller_manager.start()
            undo.pop_all()
        return self

    def stop(self) -> None:
        """End all three, and remove the folder if it is a temporary one."""
        for server in (self.controller_manager, self.apiserver, self.etcd):
            server.kill()
        if self._temporary and self._temporary.exists():
            shutil.rmtree(self._temporary)

    def apply(self, kustomization: Path) -> None:
        """Apply a kustomization and wait until the API server serves the kinds that it defines."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-k", kustomization)
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all", timeout=90)

    def kubeconfig_with(self, token: str) -> Path:
        """Return a kubeconfig with this token."""
        return self._components.kubeconfig_with(token, name=f"user-{uuid.uuid4().hex[:8]}")

    def kubectl_with(self, token: str) -> Kubectl:
        """Return kubectl as the user of this token."""
        return Kubectl(self.kubeconfig_with(token), self.folder / "kubectl")
