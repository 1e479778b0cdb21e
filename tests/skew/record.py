"""Makes the records of a release, once: `python -m tests.skew.record` at the release, and never again.

The dialogue is between the two real programs, over real sockets, and was reviewed by a person. The messages have a
value in each field of the released descriptor.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc.aio

from servicestatus.v1 import session_report_service_pb2 as pb
from testbed.waiting import wait_until_async
from tests.skew import dialogue, golden
from tests.skew.agent_scene import AgentScene, agent
from tests.unit.handler.peer import handler

SERVICE = "servicestatus.v1.SessionReportService"
EVENTS = ("viewer", "tcp viewer", "leaves", "libvirt is lost", "libvirt is back", "unheard viewer", "viewer", "stop")


class Tap:
    """Serves one socket and forwards everything to another, in both directions."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.lines: list[str] = []
        self.lose_next = False

    async def carry(self, requests: Any, _context: Any) -> Any:
        async with grpc.aio.insecure_channel(f"unix:{self._target}") as channel:
            call: Any = channel.stream_stream(f"/{SERVICE}/ReportSessions")()

            async def upwards() -> None:
                async for request in requests:
                    lost, self.lose_next = self.lose_next, False
                    self._note("lost" if lost else "agent", pb.ReportSessionsRequest.FromString(request))
                    if not lost:
                        await call.write(request)
                await call.done_writing()

            carrying = asyncio.create_task(upwards())
            async for response in call:
                self._note("handler", pb.ReportSessionsResponse.FromString(response))
                yield response
            await carrying

    def _note(self, who: dialogue.Who, message: Any) -> None:
        self.lines.append(dialogue.written(who, message))


async def record() -> list[str]:
    """The agent watches a VM while viewers come and go and libvirt is down for a moment."""
    with tempfile.TemporaryDirectory() as folder:
        async with handler(Path(folder)) as running:
            tap = Tap(running.socket)
            method: Any = grpc.stream_stream_rpc_method_handler(tap.carry)
            server = grpc.aio.server()
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"ReportSessions": method})])
            server.add_insecure_port(f"unix:{folder}/tap.sock")
            await server.start()
            async with agent(Path(folder) / "tap.sock") as scene:
                await wait_until_async(
                    lambda: scene.protocol.stream.last_ack.published, what="the snapshot is published"
                )
                for event in EVENTS:
                    tap.lines.append(f"event    {event}")
                    await happen(event, scene, tap)
            await server.stop(None)
    return tap.lines


async def happen(event: str, scene: AgentScene, tap: Tap) -> None:
    """Return when both ends have exchanged every message about it."""
    before = scene.protocol.sequence
    tap.lose_next = event == "unheard viewer"
    await scene.live(event)
    if event == "unheard viewer":
        await wait_until_async(lambda: not tap.lose_next, what="a message is lost")
    elif event != "stop":
        ack = scene.protocol.stream
        await wait_until_async(lambda: ack.last_ack.published > before, what=event)
        await wait_until_async(lambda: ack.last_ack.published == scene.protocol.sequence, what=event)


def main() -> None:
    for path, content in (
        (dialogue.FIRST_RELEASE, "\n".join(asyncio.run(record())) + "\n"),
        (golden.FIRST_RELEASE, json.dumps(golden.make(), indent=1) + "\n"),
    ):
        if path.exists():
            sys.exit(f"{path} exists: a record is made only once")
        path.write_text(content)


if __name__ == "__main__":
    main()
