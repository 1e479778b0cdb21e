"""A websocket to a subresource of a VMI, as a browser opens it: through TLS and the API server."""

import base64
import contextlib
import json
import os
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from testbed.transports import CHUNK, SocketTransport, WebsocketTransport
from tests.apiserver.vmis import Vmi

# KubeVirt's name of the protocol without framing.
PROTOCOL = "plain.kubevirt.io"
# KubeVirt dials the VM before it answers.
TIMEOUT = 60.0


class _TlsTransport(SocketTransport):
    """Like `SocketTransport`, except that TLS has no flag to peek at bytes."""

    def drain(self) -> bool:
        self._socket.setblocking(False)
        try:
            while self._socket.recv(CHUNK):
                pass
        except ssl.SSLWantReadError:
            return True
        except OSError:
            pass
        finally:
            self._socket.settimeout(TIMEOUT)
        return False


def open_websocket(kubeconfig: Path, vmi: Vmi, subresource: str) -> WebsocketTransport:
    """Open `vnc` or `console`, as the user of the kubeconfig."""
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    with contextlib.ExitStack() as undo:
        raw = undo.enter_context(socket.create_connection((server.hostname, server.port), TIMEOUT))
        transport = _TlsTransport(undo.enter_context(tls.wrap_socket(raw, server_hostname=server.hostname)))
        path = vmi.path.replace("/apis/kubevirt.io/", "/apis/subresources.kubevirt.io/", 1)
        transport.send(_request(f"{path}/{subresource}", server.netloc, config["users"][0]["user"]["token"]))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += transport.receive(1)
        if not answer.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"no websocket: {answer!r}")
        undo.pop_all()
    return WebsocketTransport(transport)


def _request(path: str, host: str, token: str) -> bytes:
    headers = {
        "Host": host,
        "Authorization": f"Bearer {token}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": PROTOCOL,
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
