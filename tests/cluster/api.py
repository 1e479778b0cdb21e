"""One request to an API server, without the 0.1 s that kubectl needs: does this path exist?"""

import http.client
from pathlib import Path

from tests.cluster.access import Access

# An API server that has just started to listen may delay the first response.
TIMEOUT = 5.0


class Api:
    """The API server that a kubeconfig names, as the user that it names."""

    def __init__(self, kubeconfig: Path) -> None:
        self._access = Access.of(kubeconfig)

    def has(self, path: str) -> bool:
        """Return whether the path is answered with success; False if the server does not answer."""
        connection = http.client.HTTPSConnection(self._access.server, timeout=TIMEOUT, context=self._access.tls)
        try:
            connection.request("GET", path, headers=self._access.headers)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):  # refused, reset, too slow, ended in the middle
            return False
        finally:
            connection.close()
