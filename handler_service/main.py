"""Wires the handler together and runs it until SIGTERM or SIGINT."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Protocol

from handler_service import config, program
from handler_service.admin.status_service import StatusService, admin_server
from handler_service.endpoints.host_endpoints import HostEndpoints
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.static_endpoints import StaticEndpoints
from handler_service.endpoints.vm_directories import VmDirectories
from handler_service.publishers.file import FilePublisher
from handler_service.publishing.worker import publish_worker
from handler_service.stats import ApiStats
from handler_service.status_manager import StatusManager
from servicestatus import logs, signals, version
from servicestatus.file_limit import raise_file_limit
from servicestatus.imports import collector_paused

log = logging.getLogger("handler_service")

#: Seconds for agents to receive DrainNotice, and for writes in flight to end, before the sockets close.
DRAIN_GRACE: Final = 0.5
WRITE_GRACE: Final = 5.0


class Source(Protocol):
    """Provides the endpoints."""

    async def run(self) -> None:
        """Follow the endpoints until cancelled."""

    def ready(self) -> bool:
        """Return whether all existing endpoints are known."""

    def api(self) -> ApiStats | None:
        """Return the statistics of requests to the API server, or None without a cluster."""

    def drain(self, grace: float) -> None:
        """Send DrainNotice to all agents: the handler stops in `grace` seconds."""


def main() -> None:
    """Run the program `handler-service`, or the command `handler-service status`."""
    if sys.argv[1:2] == ["status"]:
        # Imported here, so that a handler does not have what only the command needs in memory.
        from handler_service.admin import status_command  # noqa: PLC0415

        sys.exit(status_command.main(sys.argv[2:], os.environ))
    options = config.parse(sys.argv[1:], os.environ)
    logs.setup(options.log_level, options.log_format)
    # The owner and the group may use sockets: in a pod's directory the group is that of the pod.
    os.umask(0o007)
    raise_file_limit()  # a pod needs seven
    program.run("handler-service", run(options), log)


async def run(options: config.Config) -> None:
    """Serve until SIGTERM or SIGINT; raises SocketError, ConfigurationError."""
    stop = signals.stop_event()
    manager = StatusManager(options.settings.lease, time.monotonic, options.polling)
    async with AsyncExitStack() as stack:
        admin = admin_server(options.admin_socket, StatusService(manager, _wall), options.admin_address)
        await stack.enter_async_context(admin)
        source = await _source(options, manager, stack)
        await _serve_http(options, manager, source, stop, stack)
        work = asyncio.create_task(_work(manager, source))
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        log.info("stopping; the published values stay")
        await admin.set_serving(False)
        await _drain(manager, source)
        work.cancel()
        waiting.cancel()
        await asyncio.gather(work, waiting, return_exceptions=True)


async def _source(options: config.Config, manager: StatusManager, stack: AsyncExitStack) -> Source:
    """Return the endpoints, and add their publishers to `manager`."""
    # Next to the admin socket, whose lock this process holds already.
    hidden = options.admin_socket.with_name(options.admin_socket.name + ".d")
    sockets = stack.enter_context(PrivateSockets(hidden))
    if isinstance(options.mode, config.StaticConfig):
        publisher = await stack.enter_async_context(FilePublisher(options.mode.file_dir))
        manager.add_worker(publish_worker(publisher, manager.clock, manager.answered))
        if options.mode.endpoints_dir is not None:
            directories = VmDirectories(options.mode.endpoints_dir, manager.clock)
            host = HostEndpoints(directories, manager, options.settings, version.installed(), sockets)
            log.info("%s: serving the VMs in %s", version.installed(), options.mode.endpoints_dir)
            return await stack.enter_async_context(host)
        static = StaticEndpoints(options.mode.endpoints, manager, options.settings, version.installed(), sockets)
        await stack.enter_async_context(static)
        log.info("%s: serving %d endpoints", version.installed(), len(options.mode.endpoints))
        return static
    # Imported here, so that a handler without a cluster does not have the Kubernetes client's 35 MiB in memory.
    with collector_paused():
        from handler_service.cluster.wiring import cluster  # noqa: PLC0415

    node = cluster(options.mode, manager, options.settings, version.installed(), sockets)
    await stack.enter_async_context(node)
    log.info("%s: serving node %s", version.installed(), options.mode.node)
    return node


async def _serve_http(
    options: config.Config, manager: StatusManager, source: Source, stop: asyncio.Event, stack: AsyncExitStack
) -> None:
    if options.probe_address is None and options.metrics_address is None:
        return
    from servicestatus.http_ports import metrics_server, probe_server  # noqa: PLC0415  # as above

    if options.probe_address is not None:
        probes = probe_server(options.probe_address, lambda: source.ready() and not stop.is_set())
        await stack.enter_async_context(probes)
    if options.metrics_address is not None:
        metrics = metrics_server(options.metrics_address, _metrics(options, manager, source))
        await stack.enter_async_context(metrics)


def _metrics(options: config.Config, manager: StatusManager, source: Source) -> Callable[[str], tuple[bytes, str]]:
    from handler_service.metrics.exposition import exposition  # noqa: PLC0415  # as above

    node = options.mode.node if isinstance(options.mode, config.ClusterConfig) else ""
    return exposition(manager, source.api(), node, version.installed()).render


async def _work(manager: StatusManager, source: Source) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run())
        for one in manager.workers:
            group.create_task(one.run())
        group.create_task(source.run())


async def _drain(manager: StatusManager, source: Source) -> None:
    source.drain(DRAIN_GRACE)
    await asyncio.sleep(DRAIN_GRACE)
    for one in manager.workers:
        await one.finish_jobs(WRITE_GRACE)


def _wall(monotonic: float) -> float:
    """Return the wall time of a monotonic time."""
    return time.time() - (time.monotonic() - monotonic)
