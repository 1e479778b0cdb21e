"""The HTTP port: probes and metrics, and nothing else."""

import aiohttp
import pytest

from handler_service.admin.http_server import HttpServer
from servicestatus.addresses import Address
from servicestatus.sockets import SocketError
from tests.cluster.ports import free_port


async def get(address: Address, path: str, accept: str = "*/*") -> tuple[int, str, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}{path}", headers={"Accept": accept}) as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.read()


@pytest.fixture
def address() -> Address:
    return Address("127.0.0.1", free_port())


async def test_a_scraper_gets_what_it_asks_for(address: Address) -> None:
    """Its Accept header decides the form."""
    async with HttpServer(address, lambda: True, lambda accept: (b"a 1\n", f"text/plain; asked={accept}")):
        assert await get(address, "/metrics", "application/x") == (200, "text/plain; asked=application/x", b"a 1\n")


async def test_without_metrics_there_are_none(address: Address) -> None:
    """The probes are there all the same."""
    async with HttpServer(address, lambda: False):
        assert (await get(address, "/metrics"))[0] == 404
        assert (await get(address, "/healthz"))[0] == 200
        assert (await get(address, "/readyz"))[0] == 503


async def test_a_port_that_is_taken_is_told(address: Address) -> None:
    """One line, which names it."""
    async with HttpServer(address, lambda: True):
        with pytest.raises(SocketError, match=f"{address} cannot be bound"):
            await HttpServer(address, lambda: True).__aenter__()
