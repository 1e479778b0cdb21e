"""The HTTP port: `/healthz` and `/readyz` for the kubelet's probes."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from handler_service.addresses import Address
from servicestatus.sockets import SocketError


class HttpServer:
    """Serves the HTTP port while it is entered."""

    def __init__(self, address: Address, ready: Callable[[], bool]) -> None:
        """`ready` tells whether the handler has seen what it is responsible for, and is not stopping."""
        self._address = address
        self._ready = ready
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(application, access_log=None)

    async def __aenter__(self) -> Self:
        """Listen; raises SocketError."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._address.host or None, self._address.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise SocketError(f"{self._address} cannot be bound: {error.strerror}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        """The event loop that answers is the one that does all the work."""
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if self._ready() else web.Response(text="not ready\n", status=503)
