"""Requests to the API server, as plain dicts.

The official client brings addresses, TLS, tokens and the connection pool; its models are left aside, since a VMI as a
model costs milliseconds and this handler reads six fields of it. A token that has expired is read again from where it
came from, and the request tried once more.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
import yaml
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from handler_service.errors import ConfigurationError
from handler_service.kube import errors
from handler_service.stats import RequestStats

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
_JSON: Final = "application/json"

Object = dict[str, Any]


class KubeClient:
    """One API server, one identity."""

    def __init__(self, kubeconfig: Path | None, timeout: float, user_agent: str) -> None:
        """`kubeconfig` None: the pod's own service account. `timeout` in seconds for a request with one answer."""
        self._kubeconfig = kubeconfig
        self._timeout = timeout
        self._user_agent = user_agent
        self._configuration = kubernetes_client.Configuration()
        # Python 3.13 refuses certificates that Kubernetes' own clients take (no Authority Key Identifier, say), and
        # clusters have them. The chain and the name are verified all the same.
        # Goes with docs/upstream/kubernetes-strict-certificates.md.
        self._configuration.disable_strict_ssl_verification = True
        self.stats = RequestStats()
        self._api: kubernetes_client.ApiClient

    async def __aenter__(self) -> Self:
        """Load the credentials; raises ConfigurationError. No request is made."""
        await self._load()
        try:
            self._api = kubernetes_client.ApiClient(self._configuration)
        except OSError as error:  # a certificate that is none
            raise self._unusable(error) from error
        self._api.user_agent = self._user_agent
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]  # the client's asyncio half has no types

    @property
    def server(self) -> str:
        """The server's URL, for messages."""
        return str(self._configuration.host)

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = _JSON) -> Object:
        """GET; raises KubeError."""
        return await self._answer("GET", path, query=query, accept=accept)

    async def post(self, path: str, body: Object) -> Object:
        """POST; raises KubeError."""
        return await self._answer("POST", path, body=body, content_type=_JSON)

    async def patch(self, path: str, body: Any, content_type: str) -> Object:
        """PATCH; raises KubeError."""
        return await self._answer("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, body: Object) -> Object:
        """DELETE with DeleteOptions; raises KubeError."""
        return await self._answer("DELETE", path, body=body, content_type=_JSON)

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], accept: str, idle: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """GET whose answer is lines without an end; raises KubeError, also when nothing comes for `idle` seconds."""
        limits = aiohttp.ClientTimeout(total=None, sock_read=idle)
        # The answer begins at once, even where the first line takes its time: a connection that was kept and has died
        # meanwhile need not be waited for as long as a line.
        with _foreign_errors():
            async with asyncio.timeout(self._timeout):
                response = await self._request("GET", path, query=query, accept=accept, limits=limits)
        try:
            yield _lines(response)
        finally:
            response.close()

    async def _answer(self, method: str, path: str, **arguments: Any) -> Object:
        limits = aiohttp.ClientTimeout(total=self._timeout)
        response = await self._request(method, path, limits=limits, **arguments)
        with _foreign_errors():
            body = errors.body_of(await response.read())
        if not isinstance(body, dict):
            raise errors.ServerError("the answer is no object")
        return body

    async def _request(self, method: str, path: str, **arguments: Any) -> aiohttp.ClientResponse:
        try:
            return await self._try(method, path, **arguments)
        except errors.UnauthorizedError as error:
            try:
                await self._load()
            except ConfigurationError as problem:
                raise error from problem  # a token that is being rotated: the caller tries again later
            return await self._try(method, path, **arguments)

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
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "User-Agent": self._user_agent}
        if content_type is not None:
            headers["Content-Type"] = content_type
        with _foreign_errors():
            token = await self._configuration.get_api_key_with_prefix("BearerToken")
            if token:
                headers["Authorization"] = token
            url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
            with self._counted("WATCH" if query and "watch" in query else method) as answered:
                answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
                    method, url, headers=headers, body=body, _request_timeout=limits
                )
                response: aiohttp.ClientResponse = answer.response
                answered(response.status)
            if response.status < 300:
                return response
            text = await response.read()
        try:
            status = errors.body_of(text)
        except errors.ServerError:
            status = None
        raise errors.of_status(response.status, status, response.headers.get("Retry-After"))

    @contextmanager
    def _counted(self, verb: str) -> Iterator[Callable[[int], None]]:
        """Counts a request; what it gives is called with the status of the answer."""
        began = time.monotonic()
        try:
            yield lambda status: self.stats.answered(verb, status, time.monotonic() - began)
        except (aiohttp.ClientError, OSError):  # a TimeoutError is an OSError
            self.stats.failed(verb)
            raise

    async def _load(self) -> None:
        try:
            if self._kubeconfig is None:
                kubernetes_config.load_incluster_config(self._configuration)  # type: ignore[no-untyped-call]
            else:
                path = str(self._kubeconfig)
                await kubernetes_config.load_kube_config(path, None, self._configuration)  # type: ignore[no-untyped-call]
        except (kubernetes_config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ConfigurationError:
        where = self._kubeconfig or "the pod's service account"
        text = " ".join(str(error).split())  # a mistake in YAML is told in several lines
        return ConfigurationError(f"argument --kubeconfig: {where}: {text}")


class _foreign_errors:  # noqa: N801  # reads as a clause: "with foreign errors ..."
    """Maps what the HTTP library raises."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (aiohttp.ClientError, asyncio.TimeoutError, OSError)):
            text = str(error) or type(error).__name__
            raise errors.UnreachableError(f"no answer: {text}"[:1024]) from error


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while True:
        with _foreign_errors():
            try:
                line = await response.content.readline()
            except ValueError as error:
                raise errors.ServerError("a line of the watch is too long") from error
        if not line:
            return
        yield line
