"""One question to an API server, without the 0.1 s that a kubectl costs: is this path there?"""

import http.client
from pathlib import Path

from tests.cluster.access import Access

# An API server that has just begun to listen may keep a request waiting for its first data.
TIMEOUT = 5.0


class Api:
    """The API server that a kubeconfig names, as the user that it names."""

    def __init__(self, kubeconfig: Path) -> None:
        self._access = Access.of(kubeconfig)

    def has(self, path: str) -> bool:
        """Whether the path is answered with success; a server that is away has nothing."""
        connection = http.client.HTTPSConnection(self._access.server, timeout=TIMEOUT, context=self._access.tls)
        try:
            connection.request("GET", path, headers=self._access.headers)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):  # refused, reset, too slow, ended in the middle
            return False
        finally:
            connection.close()
