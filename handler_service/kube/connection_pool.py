"""Keeps the connections to the API server that were made with one set of TLS credentials."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from handler_service.kube.lean_client import Configuration, RESTClientObject


class ConnectionPool:
    """Holds the connections of one TLS identity. A retired pool is closed when its last response has ended."""

    def __init__(self, configuration: Configuration) -> None:
        """Raise OSError if a certificate or a key cannot be used."""
        self._client = RESTClientObject(configuration)
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Any]:
        """Keep the connections open for one response."""
        self._users += 1
        try:
            yield self._client
        finally:
            self._users -= 1
            await self._close_if_over()

    async def retire(self) -> None:
        """Close the pool as soon as no response uses it. The caller must start no further request on it."""
        self._retired = True
        await self._close_if_over()

    async def _close_if_over(self) -> None:
        if self._retired and not self._users:
            await self._client.close()
