"""The HTTP ports of both programs: `/healthz` and `/readyz` for the kubelet, and on another port `/metrics`.

They are apart so that a network policy can close one of them, and so that scrapers never keep the kubelet out.
"""

import math
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from servicestatus.addresses import Address
from servicestatus.http_server import HttpServer, Limits

#: Returns metrics and their content type for an Accept header.
Render = Callable[[str], tuple[bytes, str]]

#: Seconds for which all scrapers get the same metrics: rendering those of 250 VMs takes 20 to 35 ms of the event loop.
_SHARED_FOR: Final = 1.0
#: The Accept headers of the two forms.
_TEXT: Final = "text/plain"
_OPENMETRICS: Final = "application/openmetrics-text;version=1.0.0"


def probe_server(address: Address, ready: Callable[[], bool]) -> HttpServer:
    """Serve `/healthz` and `/readyz`. `ready` returns whether the program has seen its objects and is not stopping."""

    async def healthz(_request: web.BaseRequest) -> web.Response:
        """Prove that the event loop runs: the same loop does all the work of the program."""
        return web.Response(text="ok\n")

    async def readyz(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="ok\n") if ready() else web.Response(text="not ready\n", status=503)

    return HttpServer(address, {("GET", "/healthz"): healthz, ("GET", "/readyz"): readyz}, limits=Limits())


def metrics_server(address: Address, render: Render) -> HttpServer:
    """Serve `/metrics`."""
    return HttpServer(address, {("GET", "/metrics"): _Metrics(render).answer}, limits=Limits())


class _Metrics:
    def __init__(self, render: Render) -> None:
        self._render = render
        #: By form: when it was rendered, the body and its content type.
        self._rendered: dict[str, tuple[float, bytes, str]] = {}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Render in the event loop, so that all samples are of one moment."""
        # A peer's own header would have prometheus_client render each version and escaping that it names.
        form = _OPENMETRICS if "application/openmetrics-text" in request.headers.get("Accept", "") else _TEXT
        now = time.monotonic()
        at, body, content_type = self._rendered.get(form, (-math.inf, b"", ""))
        if now >= at + _SHARED_FOR:
            body, content_type = self._render(form)
            self._rendered[form] = now, body, content_type
        return web.Response(body=body, headers={"Content-Type": content_type})
