"""The keys, certificates and tokens of one cluster, valid for a few days and for nothing else.

Users and components authenticate with bearer tokens (a file that kube-apiserver reads). Certificates are for serving,
and for the requests that kube-apiserver itself sends.
"""

import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DAYS = "3"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """One certificate authority and the key pair that signs service account tokens."""

    def __init__(self, folder: Path) -> None:
        """Create both in `folder`, or use those of an earlier start."""
        self._folder = folder
        self.ca = self._pair("ca")
        self.service_account_key = folder / "service-account.key"
        if not self.ca.certificate.exists():
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            _openssl("genrsa", "-out", self.service_account_key, "2048")
            usage = "keyUsage=critical,keyCertSign,cRLSign"
            self._request(self.ca, "/CN=test-cluster-ca", usage)

    def serving(self, name: str, hosts: Sequence[str]) -> KeyPair:
        """A server's certificate for names (`DNS:...`) and addresses (`IP:...`)."""
        return self._signed(name, f"/CN={name}", f"subjectAltName={','.join(hosts)}")

    def client(self, name: str, group: str | None = None) -> KeyPair:
        """A client's certificate: user `name`, member of `group`."""
        organization = f"/O={group}" if group else ""
        return self._signed(name, f"{organization}/CN={name}", "extendedKeyUsage=clientAuth")

    def _signed(self, name: str, subject: str, extension: str) -> KeyPair:
        pair = self._pair(name)
        self._request(pair, subject, extension, "-CA", self.ca.certificate, "-CAkey", self.ca.key)
        return pair

    def _pair(self, name: str) -> KeyPair:
        return KeyPair(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    @staticmethod
    def _request(pair: KeyPair, subject: str, extension: str, *signer: str | Path) -> None:
        about = ("-days", DAYS, "-subj", subject, "-addext", extension)
        _openssl("req", "-x509", *_NEW_KEY, "-keyout", pair.key, *about, "-out", pair.certificate, *signer)


class TokenFile:
    """The static bearer tokens that kube-apiserver reads at its start."""

    def __init__(self, path: Path) -> None:
        """Start without a token; `issue` writes `path`."""
        self.path = path
        path.touch(mode=0o600)

    def issue(self, user: str, group: str = "") -> str:
        """Issue a token of `user`, a member of `group`."""
        token = secrets.token_hex(16)
        with self.path.open("a") as file:
            file.write(f'{token},{user},{user},"{group}"\n')
        return token


def _openssl(command: str, *arguments: str | Path) -> None:
    subprocess.run(["openssl", command, *arguments], check=True, capture_output=True, timeout=60)
