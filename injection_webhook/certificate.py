"""Serves the key pair of a mounted Secret, and follows its changes without a restart.

The kubelet replaces a Secret's directory by renaming one link, so both files are read through one resolved directory:
they always belong together. Each handshake gets the newest pair that could be loaded; connections that are open keep
theirs. A pair that cannot be loaded leaves the last one in use.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from injection_webhook import validity
from injection_webhook.validity import Validity

log = logging.getLogger(__name__)

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
#: Seconds between two looks. The kubelet itself takes up to a minute to bring a changed Secret to the node.
_INTERVAL: Final = 2.0


class ServingCertificate:
    """The pair that is served now."""

    def __init__(self, folder: Path, wall: Callable[[], float] = time.time) -> None:
        """`folder` is where the Secret is mounted; it may be empty until later."""
        self._folder = folder
        self._wall = wall
        self._seen: tuple[object, ...] = ()
        self._current: ssl.SSLContext | None = None
        self._problem = ""
        #: For metrics: how often a pair was loaded, and how often one was asked for.
        self.loads = 0
        self.handshakes = 0
        #: None until a pair was loaded.
        self.validity: Validity | None = None
        #: Has no certificate itself: each handshake chooses.
        self.context = _context()
        self.context.sni_callback = self._choose

    @property
    def usable(self) -> bool:
        """Whether a client that knows the authority accepts it now."""
        return self.validity is not None and self.validity.covers(self._wall())

    async def run(self) -> None:
        """Follow the files until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_INTERVAL)

    def look(self) -> None:
        """Load the pair if its files have changed."""
        # Kubernetes' `..data` is a link to the directory of one version, and so are the files in it.
        folder = Path(os.path.realpath(self._folder / CERTIFICATE)).parent
        try:
            seen = (folder, *(_identity(folder / name) for name in (CERTIFICATE, KEY)))
            if seen == self._seen:
                return
            self._load(folder)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            self._failed(error)
        else:
            self._seen = seen
            self._problem = ""

    def _load(self, folder: Path) -> None:
        """Raises OSError, ValueError."""
        found = validity.of_certificate(ssl.PEM_cert_to_DER_cert(_first(folder / CERTIFICATE)))
        fresh = _context()
        fresh.load_cert_chain(folder / CERTIFICATE, folder / KEY, _refuse_to_ask)
        self._current, self.validity = fresh, found
        self.loads += 1
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.ends))
        if self.usable:
            log.info("a certificate was loaded; it is valid until %s", until)
        else:
            log.warning("a certificate was loaded that is not valid now, but until %s: no pod gets an agent", until)

    def _failed(self, error: Exception) -> None:
        problem = str(error)
        if problem != self._problem:
            left = "the last one stays in use" if self._current else "no pod gets an agent until there is one"
            log.warning("the certificate in %s cannot be loaded: %s; %s", self._folder, problem, left)
        self._problem = problem

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        """OpenSSL calls this in each handshake, also where the client names no server."""
        self.handshakes += 1
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would be shown no certificate, and might outlive a replaced one.
    context.num_tickets = 0
    return context


def _refuse_to_ask() -> str:
    """OpenSSL calls this for an encrypted key; otherwise it would ask for the passphrase on the terminal, and wait."""
    raise ValueError(f"{KEY} is encrypted: store it without a passphrase")


def _identity(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _first(path: Path) -> str:
    """The first certificate of a chain: the server's own."""
    text = path.read_text(encoding="ascii", errors="replace")
    end = "-----END CERTIFICATE-----"
    before, found, _ = text[text.find("-----BEGIN CERTIFICATE-----") :].partition(end)
    if not found:
        raise ValueError(f"{path.name} holds no certificate")
    return before + end
