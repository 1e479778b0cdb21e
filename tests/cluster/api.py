"""One question to an API server, without the 0.1 s that a kubectl costs: is this path there?"""

import http.client
import json
import ssl
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

# An API server that has just begun to listen may keep a request waiting for its first data.
TIMEOUT = 5.0


class Api:
    """The API server that a kubeconfig names, as the user that it names."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._server = urlsplit(cluster["server"]).netloc
        self._ca = cluster["certificate-authority"]
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._ca)

    def has(self, path: str) -> bool:
        """Whether the path is answered with success; a server that is away has nothing."""
        connection = http.client.HTTPSConnection(self._server, timeout=TIMEOUT, context=self._tls)
        try:
            connection.request("GET", path, headers=self._headers)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):  # refused, reset, too slow, ended in the middle
            return False
        finally:
            connection.close()
