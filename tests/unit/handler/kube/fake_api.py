"""A tiny, strict API server: a test says which requests come, and what is answered; nothing else may come."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from handler_service.kube.client import KubeClient


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    content_type: str = ""
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class FakeApi:
    """Serves between enter and exit. At exit all that was expected must have come."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for the kubeconfig."""
        self._kubeconfig = folder / "kubeconfig"
        self._replies: list[tuple[str, int, bytes, float]] = []
        self._unexpected: list[str] = []
        self.seen: list[Seen] = []

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self._kubeconfig.write_text(
            json.dumps(
                {
                    "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                    "users": [{"name": "a", "user": {"token": "secret"}}],
                    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                    "current-context": "a",
                }
            )
        )
        self.client = await KubeClient(self._kubeconfig, 5.0, "test").__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.__aexit__(None, None, None)
        await self._runner.cleanup()
        if error is None:
            assert self._unexpected == []
            assert [what for what, *_ in self._replies] == []

    def expect(self, what: str, reply: Any = None, *, status: int = 200, seconds: float = 0.0) -> None:
        """The next request is `METHOD PATH`; it is answered with JSON, or with bytes as they are.

        The answer begins at once; its body takes `seconds`.
        """
        body = reply if isinstance(reply, bytes) else json.dumps(reply or {}).encode()
        self._replies.append((what, status, body, seconds))

    def refuse(self, what: str, status: int) -> None:
        """The next request is answered with a Status."""
        self.expect(what, {"kind": "Status", "message": "no", "code": status}, status=status)

    def end(self, what: str) -> None:
        """The next request is answered with a plea to be left alone for a while, so that none follows."""
        self.refuse(what, 429)

    @property
    def done(self) -> bool:
        """Whether all that was expected has come."""
        return not self._replies

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        text = await request.read()
        seen = Seen(
            request.method,
            request.path,
            dict(request.query),
            request.headers["Accept"],
            request.headers.get("Content-Type", "") if text else "",
            json.loads(text) if text else None,
        )
        if not self._replies or self._replies[0][0] != str(seen):
            self._unexpected.append(str(seen))
            return web.Response(status=599)
        self.seen.append(seen)
        _, status, body, seconds = self._replies.pop(0)
        response = web.StreamResponse(status=status, headers={"Retry-After": "60"} if status == 429 else {})
        await response.prepare(request)
        await asyncio.sleep(seconds)
        await response.write(body)
        return response
