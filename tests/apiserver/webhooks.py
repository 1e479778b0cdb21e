"""The real injection webhook on loopback, with nothing but the rights that its component gives it."""

import contextlib
import http.client
import shutil
import ssl
import subprocess
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.apiserver.http_get import get
from tests.apiserver.identities import NAMESPACE
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object
from tests.cluster.pki import Authority, KeyPair
from tests.cluster.ports import free_port

WEBHOOK = "vmi-service-status-webhook"
SERVER = "127.0.0.1"
#: Seconds, and a little more than servicestatus/http_ports.py says.
SHARED_FOR = 1.05


class MountedSecret:
    """A directory that changes as the kubelet changes a mounted Secret: by renaming one link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(f"..data/{name}")

    def put(self, pair: KeyPair) -> None:
        """A new version, in place of the last one, which is removed."""
        version = self.folder / f"..{uuid.uuid4().hex}"
        version.mkdir()
        shutil.copy(pair.certificate, version / "tls.crt")
        shutil.copy(pair.key, version / "tls.key")
        last = self.folder / "..data"
        former = last.resolve() if last.is_symlink() else None
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(last)
        if former is not None:
            shutil.rmtree(former)


def expired(authority: Authority, folder: Path) -> KeyPair:
    """A certificate of this authority that no client accepts any more."""
    pair = KeyPair(folder / "expired.crt", folder / "expired.key")
    request, names = folder / "expired.csr", folder / "names"
    names.write_text(f"subjectAltName=IP:{SERVER}")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-subj", "/CN=expired")
    _openssl("req", *new, "-keyout", pair.key, "-out", request)
    signer = ("-CA", authority.ca.certificate, "-CAkey", authority.ca.key, "-set_serial", "1")
    _openssl("x509", "-req", "-in", request, *signer, "-days", "-1", "-extfile", names, "-out", pair.certificate)
    return pair


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Webhook(ManagedProcess):
    """One replica, as the Deployment runs it."""

    def __init__(self, plane: ControlPlane, folder: Path, *, has_certificate: bool = True) -> None:
        """Without a certificate it is not ready when it has started, and its Secret is empty."""
        self._has_certificate = has_certificate
        self.port = free_port()
        self._probe_port, self._metrics_port = free_port(), free_port()
        self._scraped = 0.0
        self.authority = Authority(folder / "authority")
        self.secret = MountedSecret(folder / "certificate")
        kubeconfig = plane.kubeconfig_with(plane.token(NAMESPACE, WEBHOOK))
        argv = [
            *(sys.executable, "-m", "injection_webhook", f"--kubeconfig={kubeconfig}"),
            f"--address={SERVER}:{self.port}",
            f"--certificate-dir={self.secret.folder}",
            f"--template-namespace={NAMESPACE}",
            f"--probe-address={SERVER}:{self._probe_port}",
            f"--metrics-address={SERVER}:{self._metrics_port}",
        ]
        super().__init__(argv, log=folder / "webhook.log")

    def start(self) -> Self:
        """Returns when it has seen the template and its certificate."""
        if self._has_certificate:
            self.secret.put(self.pair("first"))
        super().start()
        expected = 200 if self._has_certificate else 503
        wait_until(self.readiness, lambda code: code == expected, what=f"readiness is {expected}", timeout=60)
        return self

    def pair(self, name: str) -> KeyPair:
        """A certificate that the API server accepts."""
        return self.authority.serving(name, [f"IP:{SERVER}"])

    @property
    def ca_bundle(self) -> str:
        return b64encode(self.authority.ca.certificate.read_bytes()).decode()

    def pointed_to(self, configuration: Object) -> Object:
        """The component's configuration, for an API server that knows no Services' addresses."""
        for webhook in configuration["webhooks"]:
            path = webhook["clientConfig"].pop("service")["path"]
            # That the machine is busy is not what is tested.
            webhook["timeoutSeconds"] = 10
            webhook["clientConfig"] |= {"url": f"https://{SERVER}:{self.port}{path}", "caBundle": self.ca_bundle}
        return configuration

    def replace(self, pair: KeyPair) -> None:
        """Returns when the pair is the one that is served."""
        before = self.metric("certificate_loads_total")
        self.secret.put(pair)
        wait_until(lambda: self.metric("certificate_loads_total"), lambda now: now > before, what="the pair is loaded")

    @contextlib.contextmanager
    def serving(self, pair: KeyPair) -> Iterator[None]:
        """Another pair, and afterwards one that the API server accepts."""
        self.replace(pair)
        try:
            yield
        finally:
            self.replace(self.pair("own"))

    def metric(self, sample: str) -> float:
        """The value of one sample as it is now, named as a scrape shows it, without the common prefix."""
        # All scrapers get the same answer for a second, and this is the only one.
        time.sleep(max(0.0, self._scraped + SHARED_FOR - time.monotonic()))
        lines = get(self._metrics_port, "/metrics")[1].splitlines()
        self._scraped = time.monotonic()
        assert lines, f"{self} does not answer; its log ends:\n{self.log_tail()}"
        return next(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"vmi_service_status_webhook_{sample} ")
        )

    def reviews(self, result: str, reason: str = "") -> float:
        """How many ended so."""
        return self.metric(f'reviews_total{{reason="{reason}",result="{result}"}}')

    def readiness(self) -> int:
        return get(self._probe_port, "/readyz")[0]

    def post(self, body: bytes, path: str = "/inject") -> tuple[int, bytes]:
        """As an API server would."""
        tls = ssl.create_default_context(cafile=self.authority.ca.certificate)
        connection = http.client.HTTPSConnection(SERVER, self.port, timeout=30, context=tls)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
