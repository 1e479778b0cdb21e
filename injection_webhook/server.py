"""Answers the API server's reviews.

Every pod of the cluster can reach the port, so servicestatus/http_server.py bounds connections and their time. A
connection serves one review: then the API server spreads its reviews over the replicas, none is sent into a connection
that ends, and a handshake without a review means that the API server does not accept the certificate.
"""

import asyncio
from typing import Final

from aiohttp import web

from injection_webhook import review
from injection_webhook.certificate import ServingCertificate
from injection_webhook.review import FAILED, TOO_LARGE, Outcome
from injection_webhook.stats import Stats
from injection_webhook.template import Template
from servicestatus.addresses import Address
from servicestatus.http_server import HttpServer, Limits

#: A launcher pod has 20 KiB, and annotations of 256 KiB at most. As a Python object JSON takes up to 46 times its size,
#: and a third of a second for 1 MiB, so the 3 MiB that the API server admits would exceed the container's memory.
MAX_BODY: Final = 1024 * 1024
#: The API server waits for 2 s, from the connection to the answer. Many more connections than are open at once where a
#: hundred VMs start in a second; each may have a body in memory. The start of
#: a VM waits for its review, so the pause is half of a scraper's.
_LIMITS: Final = Limits(connections=32, request_timeout=2.0, answer_timeout=2.0, pause=0.05)


def admission_server(address: Address, certificate: ServingCertificate, template: Template, stats: Stats) -> HttpServer:
    """Serve `POST /inject`. `certificate` is that of each handshake, `template` that of each review."""
    turn = asyncio.Lock()

    async def inject(request: web.BaseRequest) -> web.Response:
        try:
            body = await _body(request)
        except web.HTTPRequestEntityTooLarge:
            stats.reviews[Outcome(FAILED, TOO_LARGE)] += 1
            raise
        async with turn:
            # Between two reviews the loop serves the probes, and sees which connections have ended meanwhile.
            await asyncio.sleep(0)
            if request.transport is None:
                raise ConnectionResetError
            answer, outcome = review.answer(body, template.current)
        stats.reviews[outcome] += 1
        return web.Response(body=answer, content_type="application/json")

    return HttpServer(address, {("POST", "/inject"): inject}, limits=_LIMITS, tls=certificate.context)


async def _body(request: web.BaseRequest) -> bytes:
    """Return the body; raises HTTPRequestEntityTooLarge."""
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > MAX_BODY:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY, len(body))
    return bytes(body)
