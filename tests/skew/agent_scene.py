"""Today's agent without libvirt: its state changes when a test changes it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from launcher_agent.events import Phase
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.reporting.stream import ReportStream
from launcher_agent.state import State
from servicestatus.reasons import Reason
from servicestatus.v1.sessions_pb2 import VmiReference
from tests.unit.agent.fakes import UNIX, tcp


class AgentScene:
    def __init__(self, socket: Path) -> None:
        self.state = State(lambda: 1000.0)
        self.state.table.clear(1000.0)
        self.state.observe(Reason.WATCHING)
        claim = VmiReference(namespace="default", name="vm")
        self.protocol = ReportProtocol("0f1e2d3c", "0.1.0", claim, self.state.report())
        self.pauses: list[float] = []
        self._stream = ReportStream(
            socket, self.protocol, self.state, clock=time.monotonic, sleep=self._sleep, uniform=max
        )

    async def run(self) -> None:
        await self._stream.run()

    async def live(self, event: str) -> None:
        """Change something at the VM."""
        match event:
            case "viewer" | "unheard viewer":
                self._graphics(Phase.CONNECT, Phase.INITIALIZE, peer=UNIX)
            case "tcp viewer":
                self._graphics(Phase.CONNECT, Phase.INITIALIZE, peer=tcp(40_000))
            case "leaves":
                self._graphics(Phase.DISCONNECT, peer=UNIX)
            case "libvirt is lost":
                self.state.observe(Reason.LIBVIRT_UNREACHABLE, "connection refused")
            case "libvirt is back":
                self.state.observe(Reason.WATCHING)
            case "stop":
                await self._stream.goodbye()
            case _:
                raise AssertionError(event)
        self.state.touch()

    def use_other_services(self) -> None:
        """One more session of each service other than VNC."""
        for service in self.state.services.values():
            service.count(service.view.sessions + 1, 1, 1001.0)
            service.observe(Reason.WATCHING, "", 1001.0)
        self.state.touch()

    def _graphics(self, *phases: Phase, peer: object) -> None:
        for phase in phases:
            self.state.table.apply(phase, peer, 1001.0)  # type: ignore[arg-type]

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.01 if seconds < 30 else 3600)


@asynccontextmanager
async def agent(socket: Path) -> AsyncIterator[AgentScene]:
    scene = AgentScene(socket)
    task = asyncio.create_task(scene.run())
    try:
        yield scene
    finally:
        task.cancel()
        await asyncio.wait([task])
