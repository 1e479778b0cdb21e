"""The command lines of the control plane's programs, for a bare control plane and for a cluster with nodes.

Invariants: nothing listens beyond the one given address, and nothing is written outside the folder.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.kubeconfig import kubeconfig_path, write_kubeconfig
from tests.cluster.pki import Authority, TokenFile
from tests.cluster.policies import policy_flags
from tests.cluster.tools import tool

# sun_path holds 108 bytes, the last of them zero.
SOCKET_PATH_LIMIT = 107
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Endpoint:
    """The address of kube-apiserver, and the range from which it gives services their addresses."""

    address: str
    port: int
    services: str = "10.96.0.0/24"
    first_service: str = "10.96.0.1"
    # A bare control plane has no nodes, so the `kubernetes` service has no clients and gets no endpoints.
    has_nodes: bool = False

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"


class Components:
    """Command lines over one folder, with the keys, tokens and kubeconfigs that they name."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.authority = Authority(folder / "pki")
        self.tokens = TokenFile(folder / "pki" / "tokens.csv")
        self.etcd_socket = folder / "etcd.sock"
        self._peer_socket = folder / "etcd-peer.sock"
        if len(str(self._peer_socket)) > SOCKET_PATH_LIMIT:
            raise ValueError(f"{self._peer_socket}: too long for a unix socket, choose a folder with a shorter path")

    def kubeconfig(self, user: str, group: str = "") -> Path:
        """Return the kubeconfig of a new user; kube-apiserver knows those that were made before its start."""
        return self.kubeconfig_with(self.tokens.issue(user, group), name=user)

    def kubeconfig_with(self, token: str, *, name: str) -> Path:
        """Return a kubeconfig with a token that was made elsewhere."""
        ca = self.authority.ca.certificate
        return write_kubeconfig(kubeconfig_path(self.folder, name), server=self.endpoint.url, ca=ca, token=token)

    def etcd(self) -> list[str | Path]:
        """Listens on unix sockets only. Its data survives its own SIGKILL, not a power cut, so it needs no fsync."""
        peers = f"unix://{self._peer_socket}"
        client = f"unix://{self.etcd_socket}"
        return [
            tool("etcd"),
            "--unsafe-no-fsync",
            f"--data-dir={self.folder / 'etcd'}",
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"),
            f"--initial-cluster=default={peers}",
        ]

    def apiserver(self) -> list[str | Path]:
        """Takes tokens from a file; RBAC; the default admission plugins, which include the policies written in CEL."""
        return [
            tool("kube-apiserver"),
            f"--etcd-servers=unix://{self.etcd_socket}",
            *self._serving_flags(),
            *self._identity_flags(),
            *self._aggregation_flags(),
            *policy_flags(),
            "--allow-privileged=true",
        ]

    def _serving_flags(self) -> list[str]:
        end = self.endpoint
        names = ["DNS:localhost", "DNS:kubernetes.default.svc", f"IP:{end.address}", f"IP:{end.first_service}"]
        pair = self.authority.serving("kube-apiserver", names)
        return [
            *(f"--bind-address={end.address}", f"--secure-port={end.port}"),
            *(f"--tls-cert-file={pair.certificate}", f"--tls-private-key-file={pair.key}"),
            f"--service-cluster-ip-range={end.services}",
            "--endpoint-reconciler-type=" + ("master-count" if end.has_nodes else "none"),
        ]

    def _identity_flags(self) -> list[str]:
        key = self.authority.service_account_key
        kubelet = self.authority.client("apiserver-to-kubelet", "system:masters")
        return [
            f"--token-auth-file={self.tokens.path}",
            "--authorization-mode=" + ("Node,RBAC" if self.endpoint.has_nodes else "RBAC"),
            *(["--enable-admission-plugins=NodeRestriction"] if self.endpoint.has_nodes else []),
            f"--client-ca-file={self.authority.ca.certificate}",
            f"--service-account-issuer={ISSUER}",
            *(f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}"),
            *(f"--kubelet-client-certificate={kubelet.certificate}", f"--kubelet-client-key={kubelet.key}"),
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _aggregation_flags(self) -> list[str]:
        """The flags by which an API server behind this one authenticates it; it is called at its pods' addresses."""
        proxy = self.authority.client("front-proxy")
        return [
            f"--requestheader-client-ca-file={self.authority.ca.certificate}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            *(f"--proxy-client-cert-file={proxy.certificate}", f"--proxy-client-key-file={proxy.key}"),
            "--enable-aggregator-routing=true",
        ]

    def controller_manager(self, kubeconfig: Path) -> list[str | Path]:
        """Without nodes, the controllers stay off that would end pods whose node sends no heartbeat."""
        keep = ["-node-lifecycle-controller", "-taint-eviction-controller", "-pod-garbage-collector-controller"]
        return [
            tool("kube-controller-manager"),
            f"--kubeconfig={kubeconfig}",
            *(f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}"),
            f"--service-account-private-key-file={self.authority.service_account_key}",
            f"--root-ca-file={self.authority.ca.certificate}",
            "--controllers=" + ",".join(["*", *([] if self.endpoint.has_nodes else keep)]),
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
            # At the default of 20 requests a second the start alone takes 10 s, and namespaces get their account only
            # after that.
            *("--kube-api-qps=300", "--kube-api-burst=600"),
        ]

    def scheduler(self, kubeconfig: Path) -> list[str | Path]:
        """It has no clients: `--secure-port=0`."""
        return [tool("kube-scheduler"), f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0"]
