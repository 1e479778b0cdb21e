"""The handler's client of the model API server, in place of `handler_service.kube.client`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from handler_service.kube import errors
from handler_service.kube.client import KubeClient, Object
from tests.simulation.apiserver import ApiServer, Request, Watcher


class ApiClient(KubeClient):
    """One handler's client. A dead handler's requests are not sent."""

    def __init__(self, server: ApiServer, by: str, asked: Callable[[Request], None]) -> None:
        """`by` names the handler; `asked` is called with each request when it is sent."""
        self._model = server
        self._by = by
        self._asked = asked

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def refresh(self) -> None:
        """Credentials stay as they are."""

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "") -> Object:
        """An object, or a list."""
        if query is None:
            return await self._ask("GET", path, None)
        await asyncio.sleep(self._model._lag())
        self._check_up()
        return self._model.list(path.rpartition("/")[2], _label(query))

    async def get_page(
        self,
        path: str,
        query: Mapping[str, str],
        accept: str,
        keep: Callable[[Object], Object],
        most: int | None = None,
    ) -> tuple[list[Object], Object]:
        """A list is one page here."""
        page = await self.get(path, query, accept)
        return [keep(item) for item in page["items"]], page["metadata"]

    async def post(self, path: str, body: Object) -> Object:
        """Create."""
        return await self._ask("POST", path, body)

    async def patch(self, path: str, body: Any, content_type: str) -> Object:
        """Patch: a list is a JSON patch."""
        return await self._ask("PATCH", path, body)

    async def delete(self, path: str, body: Object) -> Object:
        """Delete."""
        return await self._ask("DELETE", path, body)

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], accept: str, idle: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Watch."""
        await asyncio.sleep(self._model._lag())
        self._check_up()
        watcher = self._model.watch(path.rpartition("/")[2], _label(query), int(query["resourceVersion"]))
        timer = asyncio.get_running_loop().call_later(float(query["timeoutSeconds"]), watcher.end, None)
        try:
            yield _lines(watcher)
        finally:
            timer.cancel()
            self._model.watchers.discard(watcher)

    async def _ask(self, method: str, path: str, body: Any) -> Object:
        request = Request(method, path, body, self._by)
        self._asked(request)
        return await self._model.ask(request)

    def _check_up(self) -> None:
        if not self._model.up:
            raise errors.UnreachableError("no answer: connection refused")


def _label(query: Mapping[str, str]) -> tuple[str, str | None] | None:
    """The label's name and value; without a value, the label exists."""
    if "labelSelector" not in query:
        return None
    name, equals, value = query["labelSelector"].partition("=")
    return name, value if equals else None


async def _lines(watcher: Watcher) -> AsyncIterator[bytes]:
    while True:
        while watcher.lines:
            yield watcher.lines.popleft()
        if watcher.over:
            if watcher.error is not None:
                raise watcher.error
            return
        watcher.awaited.clear()
        await watcher.awaited.wait()
