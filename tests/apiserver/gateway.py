"""An HTTP gateway in front of the API server. It records every request, and answers some of them itself.

It replaces what can be between a handler and an API server (a load balancer, an overloaded API server, KubeVirt's own
webhooks), and an audit log. Clients connect by plain HTTP; the gateway forwards to the real API server over TLS, with
the client's own token.
"""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

from testbed.waiting import TIMEOUT, wait_until
from tests.cluster.ports import free_port

_HOP_BY_HOP = ("Connection", "Content-Length", "Content-Encoding", "Host", "Keep-Alive", "Transfer-Encoding")


@dataclass
class Request:
    """One request at `at` seconds of `time.monotonic()`. `status` is what the client received, 0 for no response."""

    at: float
    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: Any
    token: str = ""
    status: int = 0

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


Match = Callable[[Request], bool]
#: Gets the request and the connection to the API server, and returns the response. None: the connection is cut.
Act = Callable[[Request, Callable[[], Awaitable["Reply"]]], Awaitable["Reply | None"]]


@dataclass
class Reply:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def error(cls, status: int, message: str = "by the gateway", **headers: str) -> Self:
        """Return a Status object, as an API server rejects a request."""
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps(body).encode(), {"Content-Type": "application/json", **named})


class Rule:
    """Answers the next `times` matching requests, and counts them."""

    def __init__(self, match: Match, act: Act, times: int) -> None:
        self.match = match
        self.act = act
        self.left = times
        self.used = 0

    def wait_used(self, times: int = 1, timeout: float = TIMEOUT) -> None:
        wait_until(lambda: self.used, lambda used: used >= times, what=f"{times} requests met it", timeout=timeout)


class Gateway:
    """Serves between enter and exit."""

    def __init__(self, url: str, ca: Path) -> None:
        """`url` is the API server's."""
        self._target = url
        self._ca = ca
        self._port = free_port()
        self._rules: list[Rule] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)
        self._flow = asyncio.Event()
        self._flow.set()
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(TIMEOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(TIMEOUT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- how it answers ---

    def answer(self, match: Match, reply: Reply, times: int = 1) -> Rule:
        """Send this response without asking the API server."""

        async def act(request: Request, ask: Callable[[], Awaitable[Reply]]) -> Reply:
            return reply

        return self._add(Rule(match, act, times))

    def lose_answer(self, match: Match, times: int = 1) -> Rule:
        """Let the API server execute the request, and cut the connection without a response."""

        async def act(request: Request, ask: Callable[[], Awaitable[Reply]]) -> None:
            await ask()

        return self._add(Rule(match, act, times))

    def keep_answer(self, match: Match, seconds: float, times: int = 1) -> Rule:
        """Let the API server execute the request, and delay the response."""

        async def act(request: Request, ask: Callable[[], Awaitable[Reply]]) -> Reply:
            reply = await ask()
            await asyncio.sleep(seconds)
            return reply

        return self._add(Rule(match, act, times))

    def delay(self, match: Match, seconds: float, times: int = 1) -> Rule:
        """Delay the request before it reaches the API server."""

        async def act(request: Request, ask: Callable[[], Awaitable[Reply]]) -> Reply:
            await asyncio.sleep(seconds)
            return await ask()

        return self._add(Rule(match, act, times))

    def change_answer(self, match: Match, change: Callable[[Any], Any], times: int = 1) -> Rule:
        """Let the API server execute the request, and let `change` rewrite the response."""

        async def act(request: Request, ask: Callable[[], Awaitable[Reply]]) -> Reply:
            reply = await ask()
            reply.body = json.dumps(change(json.loads(reply.body))).encode()
            return reply

        return self._add(Rule(match, act, times))

    def ignore(self, match: Match, times: int = 1) -> Rule:
        """Do not forward the write; respond with 200 and the unchanged object."""
        return self._add(Rule(match, self._current, times))

    async def _current(self, request: Request, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        headers = {"Authorization": f"Bearer {request.token}"}
        async with self._session.get(f"{self._target}{request.path}", headers=headers) as answer:
            return Reply(answer.status, await answer.read(), _kept(answer.headers))

    def hold_watches(self) -> None:
        """Hold back watch events until `release_watches()`; all other requests are served."""
        self._loop.call_soon_threadsafe(self._flow.clear)

    def release_watches(self) -> None:
        self._loop.call_soon_threadsafe(self._flow.set)

    def reset(self) -> None:
        """Remove all rules and all recorded requests."""
        self._rules.clear()
        self.requests.clear()

    def forget(self, rule: Rule) -> None:
        self._rules.remove(rule)

    def _add(self, rule: Rule) -> Rule:
        self._rules.append(rule)
        return rule

    # --- what it has recorded ---

    def writes(self, path: str = "") -> list[Request]:
        """Return the writes whose path contains a text."""
        return [request for request in list(self.requests) if request.is_write and path in request.path]

    # --- inside ---

    async def _start(self) -> None:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", self._serve)
        tls = ssl.create_default_context(cafile=self._ca)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=0), auto_decompress=True)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        # The TLS shutdown takes its own time.
        await asyncio.sleep(0.05)

    async def _serve(self, incoming: web.Request) -> web.StreamResponse:
        text = await incoming.read()
        request = Request(
            at=time.monotonic(),
            method=incoming.method,
            path=incoming.path,
            query=dict(incoming.query),
            content_type=incoming.headers.get("Content-Type", ""),
            body=json.loads(text) if text else None,
            token=incoming.headers.get("Authorization", "").removeprefix("Bearer "),
        )
        self.requests.append(request)
        rule = next((rule for rule in self._rules if rule.left > 0 and rule.match(request)), None)
        if rule is None and request.is_watch:
            return await self._watch(incoming, request)

        async def ask() -> Reply:
            return await self._ask(incoming, text)

        if rule is None:
            reply: Reply | None = await ask()
        else:
            rule.left -= 1
            rule.used += 1
            reply = await rule.act(request, ask)
        if reply is None:
            assert incoming.transport is not None
            incoming.transport.abort()
            return web.Response(status=500)
        request.status = reply.status
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    async def _ask(self, incoming: web.Request, text: bytes) -> Reply:
        async with self._forward(incoming, text) as answer:
            return Reply(answer.status, await answer.read(), _kept(answer.headers))

    async def _watch(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        async with self._forward(incoming, b"") as answer:
            request.status = answer.status
            outgoing = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
            await outgoing.prepare(incoming)
            async for chunk in answer.content.iter_any():
                await self._flow.wait()
                await outgoing.write(chunk)
            return outgoing

    def _forward(self, incoming: web.Request, text: bytes) -> Any:
        return self._session.request(
            incoming.method,
            f"{self._target}{incoming.raw_path}",
            data=text or None,
            headers=_kept(incoming.headers),
            timeout=aiohttp.ClientTimeout(total=None),
        )


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.title() not in _HOP_BY_HOP}


def is_vmi_patch(request: Request) -> bool:
    return request.method == "PATCH" and "/virtualmachineinstances/" in request.path


def is_companion_write(request: Request) -> bool:
    return request.is_write and "/virtualmachineinstanceservicestatuses" in request.path


def is_vmi_watch(request: Request) -> bool:
    return request.is_watch and request.path.endswith("/virtualmachineinstances")
