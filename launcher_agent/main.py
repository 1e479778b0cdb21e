"""Wires the agent's parts together and ends them: Goodbye has one second, and a hung libvirt delays nothing."""

import asyncio
import contextlib
import logging
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from launcher_agent.admin import server as admin
from launcher_agent.admin.status import Identity
from launcher_agent.config import VARIABLES, Config
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.reporting.stream import ReportStream
from launcher_agent.state import State
from launcher_agent.vm.client import Libvirt
from launcher_agent.vm.supervisor import Supervisor
from servicestatus import logs, signals, version
from servicestatus.sockets import SocketError
from servicestatus.v1.sessions_pb2 import VmiReference

log = logging.getLogger(__name__)

#: Seconds for Goodbye. The kubelet grants more, but the end of a VM waits for the agent.
_GOODBYE: Final = 1.0


def main() -> NoReturn:
    """Run the agent as a program."""
    try:
        status = run(sys.argv[1:], os.environ)
    except Exception:
        log.exception("the agent failed and ends with status 1")
        status = 1
    logging.shutdown()
    # Not sys.exit: the interpreter would close the connection to libvirt, and wait for a libvirt that hangs.
    os._exit(status)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the agent until a signal ends it; return the exit status."""
    options = configuration(arguments, environment)
    logs.setup(options.log_level, options.log_format)
    for noisy in ("asyncio", "grpc"):  # they log a line for each call at level debug
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        asyncio.run(Agent(options).run())
    except SocketError as error:
        log.error("--admin-socket: %s", error)
        return 1
    return 0


def configuration(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Return the configuration; ends the program with status 2 and one line if a value is wrong."""
    if not arguments and not any(name.startswith(VARIABLES) for name in environment):
        return Config()
    # Imported here: the parser takes 0.6 MiB, and KubeVirt's launcher pods set no flag.
    from launcher_agent import command_line  # noqa: PLC0415

    return command_line.parse(arguments, environment, version.installed())


class Agent:
    """Owns the agent's parts and ends them together."""

    def __init__(self, options: Config) -> None:
        self._options = options
        self._identity = Identity(
            instance=os.urandom(16).hex(),
            version=version.installed(),
            started_at=time.time(),
            handler_socket=str(options.handler_socket),
        )

    async def run(self) -> None:
        """Watch and report until SIGTERM or SIGINT."""
        stop = signals.stop_event()
        log.info("launcher-agent %s, instance %s", self._identity.version, self._identity.instance)
        state = State(time.time)
        vmi = VmiReference(namespace=self._options.namespace, name=self._options.name)
        protocol = ReportProtocol(self._identity.instance, self._identity.version, vmi, state.report())
        async with self._admin(state, protocol), asyncio.TaskGroup() as tasks:
            stream = self._stream(state, protocol)
            running = [tasks.create_task(self._watcher(state).run()), tasks.create_task(stream.run())]
            await stop.wait()
            log.info("stopping")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await stream.goodbye()
            for task in running:
                task.cancel()

    def _admin(self, state: State, protocol: ReportProtocol) -> contextlib.AbstractAsyncContextManager[object]:
        if self._options.admin_socket is None:
            return contextlib.nullcontext()
        service = admin.AgentStatusService(self._identity, state, protocol, asyncio.sleep)
        return admin.admin_server(self._options.admin_socket, service)

    def _watcher(self, state: State) -> Supervisor:
        return Supervisor(
            Libvirt(self._options.libvirt_uri),
            state,
            self._options.domain,
            policy=self._options.query,
            sleep=asyncio.sleep,
            uniform=random.uniform,
        )

    def _stream(self, state: State, protocol: ReportProtocol) -> ReportStream:
        return ReportStream(
            self._options.handler_socket,
            protocol,
            state,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            uniform=random.uniform,
        )
