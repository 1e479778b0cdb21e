"""The least that a stream costs: a client of `grpc.aio` without libvirt, settings or rules, and its server.

    python3 bare_stream.py serve SOCKET
    python3 bare_stream.py dial SOCKET

The client sends a message each 5 s, as an agent sends its heartbeat, and the server answers it. A root has this file
alone, so it imports nothing of this project.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

METHOD = "/bench.Bare/Talk"
INTERVAL = 5.0


class Server(grpc.GenericRpcHandler):
    """Answers each message with itself."""

    def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return grpc.stream_stream_rpc_method_handler(self._talk)

    async def _talk(self, messages: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message


async def serve(socket: str) -> None:
    server: Any = grpc.aio.server()
    server.add_generic_rpc_handlers((Server(),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await server.wait_for_termination()


async def dial(socket: str) -> None:
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        call: Any = channel.stream_stream(METHOD)()
        while True:
            await call.write(b"heartbeat")
            await call.read()
            await asyncio.sleep(INTERVAL)


if __name__ == "__main__":
    asyncio.run({"serve": serve, "dial": dial}[sys.argv[1]](sys.argv[2]))
