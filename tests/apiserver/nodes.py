"""A node as its handler sees it: a pods directory like the kubelet's, a token that names the node, and the real handler
process with only the rights that the manifests grant."""

import contextlib
import http.client
import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.commands import Child, Command, User
from testbed.grpcurl import Grpcurl
from testbed.processes import ManagedProcess, launch_here, script
from testbed.waiting import wait_until
from tests.apiserver.client import ANSWER_TIMEOUT, Client
from tests.apiserver.http_get import get
from tests.apiserver.identities import ACCOUNT, NAMESPACE
from tests.apiserver.vmis import Vmi
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import node, pod
from tests.cluster.ports import free_port

# A start takes a second, or as long as an API server needs to start on a machine with a load of 90.
START_TIMEOUT = 120.0

# KubeVirt's launcher runs as 107:107, and the kubelet gives its emptyDirs to that group. libvirt needs a user and group
# that have a name. 107 has one in KubeVirt's image only; the tests use the user `nobody` instead.
POD = User(pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid) if os.geteuid() == 0 else User.current()
SERVICE = "servicestatus.v1.ServiceStatusService"


class PodsFolder:
    """The directory in which the kubelet keeps the volumes of a node's pods."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        path.chmod(0o755)

    def volume(self, uid: str) -> Path:
        return self.path / uid / "volumes" / "kubernetes.io~empty-dir" / "service-status"

    def socket(self, uid: str) -> Path:
        return self.volume(uid) / "handler.sock"

    def add(self, uid: str) -> Path:
        """Make a launcher pod's directory with the sidecar's emptyDir, as the kubelet makes it: `drwxrwsrwx 0 107`."""
        # Made elsewhere and renamed: in a half made one, a handler would bind a socket of a group without agents. In a
        # cluster it does not matter: the kubelet gives what it finds in a volume to the pod's group.
        new = f"new-{uid}"
        volume = self.volume(new)
        volume.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(volume, 0, POD.gid)
        volume.chmod(0o2777)
        (self.path / new).rename(self.path / uid)
        return self.socket(uid)

    def remove(self, uid: str) -> None:
        """Remove the directory, as the kubelet does after the pod's end."""
        while (self.path / uid).exists():
            # The handler may remove its socket at the same moment.
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.path / uid)


class Node:
    """One node's name, folder and identity; its handlers are started one after the other."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self.name = name
        self._plane = plane
        self._client = Client(plane.kubeconfig)
        # Not pytest's folder, which other users cannot enter: an agent runs as another user.
        self._folder = Path(tempfile.mkdtemp(prefix="vss-node-", dir="/tmp"))
        self._folder.chmod(0o755)
        self.pods = PodsFolder(self._folder / "pods")
        self.token_file = self._folder / "token"
        self.opener_socket = self._folder / "opener.sock"
        flags = [f"--pods-dir={self.pods.path}", f"--socket={self.opener_socket}"]
        self.opener = ManagedProcess([script("socket-opener"), *flags], log=self._folder / "opener.log")

    def __enter__(self) -> Self:
        self._client.post("/api/v1/nodes", node(self.name))
        handler = pod(f"handler-{self.name}", NAMESPACE, node_name=self.name, account=ACCOUNT)
        self._pod = self._client.post(f"/api/v1/namespaces/{NAMESPACE}/pods", handler)["metadata"]
        self.renew_token()
        self.opener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.opener.kill()
        shutil.rmtree(self._folder)
        self._client.delete(f"/api/v1/nodes/{self.name}")
        self._client.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{self._pod['name']}")
        self._client.close()

    def renew_token(self) -> None:
        """Replace the file in one step, as the kubelet does."""
        bound = {"kind": "Pod", "apiVersion": "v1", "name": self._pod["name"], "uid": self._pod["uid"]}
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
        answer = self._client.post(path, {"spec": {"boundObjectRef": bound}})
        self._write_token(answer["status"]["token"])

    def spoil_token(self) -> None:
        """Write an invalid token into the file."""
        self._write_token("spoilt")

    def kubeconfig(self, server: str | None = None) -> Path:
        """Write a kubeconfig with the path of the token's file. `server` is another address of the same API server."""
        path = self._folder / "kubeconfig"
        cluster = {"server": server or self._plane.url, "certificate-authority": str(self._plane.ca)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "handler", "user": {"tokenFile": str(self.token_file)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "handler"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))
        return path

    def handler(
        self,
        *flags: str | Path,
        server: str | None = None,
        publisher: str = "auto",
        env: Mapping[str, str] | None = None,
        launch: Callable[[Command], Child] = launch_here,
    ) -> "Handler":
        """Return a handler that is not started yet. `env` is added to this process's environment; `launch` forks it."""
        required = {
            "--publisher": publisher,
            "--node-name": self.name,
            "--opener": self.opener_socket,
            "--kubeconfig": self.kubeconfig(server),
            "--admin-socket": self._folder / "admin.sock",
        }
        argv = [f"{flag}={value}" for flag, value in required.items()]
        return Handler([*argv, *flags], self._folder, env, launch)

    def run(self, vmi: Vmi) -> Vmi:
        """Create a VMI that runs here, and its launcher pod's directory."""
        vmi.create(self.name)
        vmi.socket = self.pods.add(vmi.pod)
        return vmi

    def _write_token(self, token: str) -> None:
        new = self.token_file.with_suffix(".new")
        new.write_text(token)
        new.replace(self.token_file)


class Handler(ManagedProcess):
    """The real program, as a node's DaemonSet pod runs it."""

    def __init__(
        self,
        flags: list[str | Path],
        folder: Path,
        env: Mapping[str, str] | None = None,
        launch: Callable[[Command], Child] = launch_here,
    ) -> None:
        self.probe_port, self.metrics_port = free_port(), free_port()
        ports = [f"--probe-address=127.0.0.1:{self.probe_port}", f"--metrics-address=127.0.0.1:{self.metrics_port}"]
        argv = [script("handler-service"), *flags, *ports]
        super().__init__(argv, log=folder / "handler.log", env=env, launch=launch)
        self.admin = Grpcurl(folder / "admin.sock")

    def status(self, namespace: str, name: str) -> Any:
        """Return its answer about a VMI, as grpcurl prints it."""
        return self.admin.call(f"{SERVICE}/GetServiceStatus", {"namespace": namespace, "name": name})["status"]

    def publication(self, namespace: str, name: str, publisher: str) -> Any:
        """Return its answer about one publisher of a VMI."""
        found = self.status(namespace, name)["publications"]
        return next(publication for publication in found if publication["publisher"] == publisher)

    def lines(self, text: str) -> list[str]:
        """Return the lines of its log, of all its runs, that contain a text."""
        return [line for line in self.log_text(whole=True).splitlines() if text in line]

    def start_synced(self) -> Self:
        """Return when it has listed the VMIs of its node; the API server may still be starting."""
        self.start()
        wait_until(lambda: self.probe("/readyz"), lambda seen: seen == 200, what="it is ready", timeout=START_TIMEOUT)
        return self

    def probe(self, path: str) -> int:
        """Return the HTTP status that the kubelet would see; 0 if no process listens."""
        return get(self.probe_port, path, timeout=ANSWER_TIMEOUT)[0]

    def metrics(self) -> str:
        """Return what a scrape would see."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=ANSWER_TIMEOUT)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it with SIGSTOP in the meantime, as on a node that is short of CPU."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()
