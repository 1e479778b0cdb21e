"""Runs the agents of a whole node in one process, without libvirt, with the real session tables and streams.

The bench sets the rate at which viewers connect and disconnect. Commands are lines of JSON on standard input, each with
a response on standard output; the end of the input ends the process. `bench/peer/cmd/load` is the same in Go.

    {"do": "sync"}                              responds when every agent has reported over a connection newer than
                                                those of the last `sync`, and its value is published
    {"do": "run", "rate": R, "seconds": S}      R events per second in total, evenly; responds when all are accepted
    {"do": "set", "sessions": N}                N viewers at every agent, at once
    {"do": "spread", "sessions": N, "seconds": S}  the same, one agent after the other
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from launcher_agent.events import Phase, SocketAddress, Transport
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.reporting.stream import ReportStream
from launcher_agent.state import State
from servicestatus.reasons import Reason
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import VmiReference

_TICK: Final = 0.005
#: The maximum number of viewers of one VM.
_MOST: Final = 8
#: All viewers are anonymous, as those of KubeVirt.
_PEER: Final = SocketAddress(Transport.UNIX)


class Agent:
    """Simulates libvirt for the agent of one VM."""

    def __init__(self, vmi: dict[str, Any], number: int) -> None:
        self._state = State(time.time)
        self._state.table.clear(time.time())
        self._state.observe(Reason.WATCHING)
        self._spread: float = vmi["spread"]
        self._random = number
        self.sessions = 0
        reference = VmiReference(namespace=vmi["namespace"], name=vmi["name"])
        self._protocol = ReportProtocol(f"{number:032x}", "bench", reference, self._state.report())
        self._stream = ReportStream(
            Path(vmi["socket"]),
            self._protocol,
            self._state,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            uniform=random.uniform,
        )
        self._since = 0

    async def run(self) -> None:
        # The VMs of a node start at different times. Agents in step share the handler's wake-ups, which flatters it.
        await asyncio.sleep(random.random() * self._spread)  # noqa: S311 - not secret
        await self._stream.run()

    # --- what happens at the VM's screen ---

    def step(self) -> None:
        """Connect or disconnect a viewer, by the same pseudorandom sequence in both programs."""
        self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
        come = self._random >> 16 & 1 == 1
        if self.sessions in (0, _MOST):
            come = self.sessions == 0
        self.set(self.sessions + (1 if come else -1))

    def set(self, sessions: int) -> None:
        """Connect or disconnect viewers until `sessions` are connected."""
        table, now = self._state.table, time.time()
        while self.sessions < sessions:
            table.apply(Phase.CONNECT, _PEER, now)
            table.apply(Phase.INITIALIZE, _PEER, now)
            self.sessions += 1
        while self.sessions > sessions:
            table.apply(Phase.DISCONNECT, _PEER, now)
            self.sessions -= 1
        self._state.touch()

    # --- what became of it ---

    @property
    def accepted(self) -> bool:
        """Whether the handler has accepted the agent's newest state."""
        base = self._protocol.stream.base
        sent = base is not None and base.vnc == self._state.report().vnc
        return sent and self._protocol.stream.last_ack.accepted == self._protocol.sequence

    @property
    def synced(self) -> bool:
        """Whether a newer stream has sent everything, and the value is published if this handler may publish it."""
        ack, streams = self._protocol.stream.last_ack, self._state.handler.streams
        published = ack.published == self._protocol.sequence or ack.state == pb.PUBLISH_STATE_NOT_OWNER
        return streams > self._since and self.accepted and published

    def note(self) -> None:
        """Consider only streams after this call as newer."""
        self._since = self._state.handler.streams


class Load:
    """Executes commands on all agents."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self._agents = agents

    async def do(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "sync":
                await self._until("synced")
                for agent in self._agents:
                    agent.note()
                return {"synced": len(self._agents)}
            case "run":
                return await self._run(command["rate"], command["seconds"])
            case _:
                for agent in self._agents:
                    agent.set(command["sessions"])
                    if command["do"] == "spread":
                        await asyncio.sleep(command["seconds"] / len(self._agents))
                return {"set": command["sessions"]}

    async def _run(self, rate: float, seconds: float) -> dict[str, Any]:
        begin, wanted, made = time.monotonic(), int(rate * seconds), 0
        while made < wanted:
            due = min(wanted, int(rate * (time.monotonic() - begin)))
            for number in range(made, due):
                self._agents[number % len(self._agents)].step()
            made = due
            await asyncio.sleep(_TICK)
        await self._until("accepted")
        return {"events": wanted, "seconds": time.monotonic() - begin}

    async def _until(self, what: str) -> None:
        for agent in self._agents:
            while not getattr(agent, what):  # noqa: ASYNC110 - the product is not given a wake-up for the bench
                await asyncio.sleep(_TICK)


async def main(vmis: list[dict[str, Any]]) -> None:
    agents = [Agent(vmi, number) for number, vmi in enumerate(vmis)]
    load = Load(agents)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(agent.run()) for agent in agents]
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await load.do(json.loads(line))), flush=True)
        for task in running:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
