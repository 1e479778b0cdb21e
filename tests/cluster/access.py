"""What a kubeconfig written by kubeconfig.py gives a client: the server, its certificate, and the client's identity."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Access:
    """`server` is host and port; `headers` go with each request."""

    server: str
    tls: ssl.SSLContext
    headers: Mapping[str, str]

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        """Authenticate by a token or by a client certificate."""
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        # Some clusters' authorities have no key identifier, which Python 3.13 rejects; everything else is verified.
        # Goes with docs/upstream/kubernetes-strict-certificates.md.
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if "client-certificate" in user:
            tls.load_cert_chain(user["client-certificate"], user["client-key"])
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        return cls(urlsplit(cluster["server"]).netloc, tls, headers)
