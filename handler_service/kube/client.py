"""Sends requests to the API server and returns plain dicts.

The official client provides addresses, TLS, tokens and the connection pool. Its models are not used: to build the model
of a VMI takes milliseconds, and the handler reads six fields. `access` keeps credentials and connections current.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp

from handler_service.kube import errors, list_page
from handler_service.kube.access import Access
from handler_service.kube.credentials import CredentialSource
from handler_service.stats import RequestStats

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
_JSON: Final = "application/json"

Object = dict[str, Any]


class KubeClient:
    """Sends requests to one API server with one identity."""

    def __init__(
        self, kubeconfig: Path | None, timeout: float, user_agent: str, source: CredentialSource | None = None
    ) -> None:
        """`kubeconfig` is None for the pod's service account. `timeout` (seconds) limits a request with one answer."""
        self._timeout = timeout
        self._user_agent = user_agent
        # Half of the time limit, so that the error of a plugin that hangs names the plugin and not the request.
        self._access = Access(source or CredentialSource(kubeconfig, timeout / 2))
        self.stats = RequestStats()

    async def __aenter__(self) -> Self:
        """Load the credentials without a request; raises ConfigurationError."""
        await self._access.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._access.close()

    async def refresh(self) -> None:
        """Load outdated credentials now, before a request whose time limit is too short for a slow plugin."""
        await self._access.refresh()

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = _JSON) -> Object:
        """Send GET; return the object; raises KubeError."""
        return await self._answer("GET", path, query=query, accept=accept)

    async def get_page(
        self,
        path: str,
        query: Mapping[str, str],
        accept: str,
        keep: Callable[[Object], Object],
        most: int | None = None,
    ) -> tuple[list[Object], Object]:
        """Send GET for a page of a list; return `keep` of each object, and the page's metadata.

        Raises KubeError: PageTooLargeError if the page has more than `most` bytes.
        """
        return list_page.parse(await self._body("GET", path, most, query=query, accept=accept), keep)

    async def post(self, path: str, body: Object) -> Object:
        """Send POST; return the object; raises KubeError."""
        return await self._answer("POST", path, body=body, content_type=_JSON)

    async def patch(self, path: str, body: Any, content_type: str) -> Object:
        """Send PATCH; return the object; raises KubeError."""
        return await self._answer("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, body: Object) -> Object:
        """Send DELETE with DeleteOptions; return the answer; raises KubeError."""
        return await self._answer("DELETE", path, body=body, content_type=_JSON)

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], accept: str, idle: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send GET for an endless answer; yield its lines; raises KubeError, also after `idle` seconds without data."""
        limits = aiohttp.ClientTimeout(total=None, sock_read=idle)
        async with AsyncExitStack() as stack:
            # The response begins at once, even if the first line comes late. So a reused connection that has died is
            # noticed within the timeout of a request, which is shorter than that of a line.
            with _ForeignErrors():
                async with asyncio.timeout(self._timeout):
                    response = await stack.enter_async_context(
                        self._response("GET", path, query=query, accept=accept, limits=limits)
                    )
            yield _lines(response)

    async def _answer(self, method: str, path: str, **arguments: Any) -> Object:
        body = errors.body_of(await self._body(method, path, **arguments))
        if not isinstance(body, dict):
            raise errors.ServerError("the answer is not a JSON object")
        return body

    async def _body(self, method: str, path: str, most: int | None = None, **arguments: Any) -> bytes:
        limits = aiohttp.ClientTimeout(total=self._timeout)
        with _ForeignErrors():
            # The limit covers a second try and the loading of credentials.
            async with (
                asyncio.timeout(self._timeout),
                self._response(method, path, limits=limits, **arguments) as response,
            ):
                return await response.read() if most is None else await _read(response, most)

    @asynccontextmanager
    async def _response(self, method: str, path: str, **arguments: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; if the server rejects the credentials, send it once more with new ones."""
        await self._access.refresh()
        credentials = self._access.credentials
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(self._try(method, path, **arguments))
            except errors.UnauthorizedError as error:
                await self._access.replace(credentials, error)
                response = await stack.enter_async_context(self._try(method, path, **arguments))
            yield response

    @asynccontextmanager
    async def _try(
        self,
        method: str,
        path: str,
        *,
        limits: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        accept: str = _JSON,
        content_type: str | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": accept, "User-Agent": self._user_agent}
        if content_type is not None:
            headers["Content-Type"] = content_type
        credentials = self._access.credentials
        if credentials.authorization:
            headers["Authorization"] = credentials.authorization
        elif credentials.problem:
            raise errors.UnauthorizedError(credentials.problem)
        url = f"{credentials.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        verb = "WATCH" if query and "watch" in query else method
        async with self._access.use() as rest_client:
            with _ForeignErrors(), self._counted(verb) as answered:
                answer = await rest_client.request(method, url, headers=headers, body=body, _request_timeout=limits)
                response: aiohttp.ClientResponse = answer.response
                answered(response.status)
            try:
                if response.status >= 300:
                    with _ForeignErrors():
                        raise _refusal(response, await response.read())
                yield response
            finally:
                response.close()

    @contextmanager
    def _counted(self, verb: str) -> Iterator[Callable[[int], None]]:
        """Count a request; the caller calls the yielded function with the status of the answer."""
        began = time.monotonic()
        try:
            yield lambda status: self.stats.answered(verb, status, time.monotonic() - began)
        except (aiohttp.ClientError, OSError, asyncio.CancelledError) as error:  # a TimeoutError is an OSError
            if isinstance(error, aiohttp.ClientSSLError):
                self._access.doubt()
            self.stats.failed(verb)
            raise


class _ForeignErrors:
    """Maps the errors of the HTTP library to KubeError."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (aiohttp.ClientError, asyncio.TimeoutError, OSError)):
            text = str(error) or type(error).__name__
            if isinstance(error, aiohttp.ClientResponseError):
                text = f"{error.status} {error.message}"  # its own text has the proxy's URL, and so the password
            raise errors.UnreachableError(f"no answer: {text}"[:1024]) from error


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    parts: list[bytes] = []
    async for part in response.content.iter_any():
        parts.append(part)
        most -= len(part)
        if most < 0:
            raise errors.PageTooLargeError("the page of a list is too large")
    return b"".join(parts)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while True:
        with _ForeignErrors():
            try:
                line = await response.content.readline()
            except ValueError as error:
                raise errors.ServerError("a line of the watch is too long") from error
        if not line:
            return
        yield line


def _refusal(response: aiohttp.ClientResponse, text: bytes) -> errors.KubeError:
    try:
        status = errors.body_of(text)
    except errors.ServerError:
        status = None
    return errors.of_status(response.status, status, response.headers.get("Retry-After"))
