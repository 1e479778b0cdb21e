"""Keeps the credentials and the connections of one client current.

Credentials are loaded again when one of their files was replaced or the server answers 401. The connections are
replaced if the TLS material differs.

One load serves all requests that wait for it, and ends by itself: CredentialSource limits a plugin. A request that
gives up does not end the load, or requests with a short time limit would kill a slow plugin again and again.
"""

import asyncio
import contextlib
import logging
from typing import Any

from handler_service.errors import ConfigurationError
from handler_service.kube import errors
from handler_service.kube.connection_pool import ConnectionPool
from handler_service.kube.credentials import Credentials, CredentialSource

log = logging.getLogger(__name__)


class Access:
    """The credentials of one identity, and the connections that were made with them."""

    def __init__(self, source: CredentialSource) -> None:
        """Load nothing before open()."""
        self._source = source
        self._loading: asyncio.Task[None] | None = None
        self._warned = ""
        self._pool: ConnectionPool | None = None
        self.credentials: Credentials

    async def open(self) -> None:
        """Load the credentials without a request; raises ConfigurationError."""
        await self._load()

    async def close(self) -> None:
        """End a load that is under way, and the connections."""
        if self._loading is not None:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConfigurationError):
                await self._loading
        if self._pool is not None:
            await self._pool.retire()

    def use(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """Keep the connections open for one response."""
        assert self._pool is not None  # open
        return self._pool.use()

    def doubt(self) -> None:
        """Load again at the next refresh, after a failed TLS handshake."""
        self._source.doubt()

    async def refresh(self) -> None:
        """Load credentials that may have changed; after a failure the last ones stay in use."""
        if not self._source.outdated():
            return
        try:
            await self._load()
        except ConfigurationError as error:
            if str(error) != self._warned:
                log.warning("credentials cannot be loaded again: %s; the last ones stay in use", error)
            self._warned = str(error)
        else:
            self._warned = ""

    async def replace(self, refused: Credentials, error: errors.UnauthorizedError) -> None:
        """Load credentials after 401, unless another request has; raises UnauthorizedError if that fails."""
        if self.credentials is refused:
            try:
                await self._load()
            except ConfigurationError as problem:
                raise errors.UnauthorizedError(f"{error} ({problem})"[:1024]) from problem

    async def _load(self) -> None:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_now(), name="load credentials")
            self._loading.add_done_callback(self._loaded)
        await asyncio.shield(self._loading)

    def _loaded(self, task: "asyncio.Task[None]") -> None:
        self._loading = None
        if not task.cancelled():
            task.exception()  # the requests that waited for it may have given up

    async def _load_now(self) -> None:
        credentials = await self._source.load()
        before = self._pool
        if before is None or credentials.transport != self.credentials.transport:
            try:
                self._pool = ConnectionPool(credentials.configuration)
            except OSError as error:  # not a certificate, or the certificate of another key
                self._source.doubt()
                raise self._source.unusable(error) from error
            if before is not None:
                log.info("TLS credentials or the address of the API server changed; new connections use the new ones")
                await before.retire()
        self.credentials = credentials
