"""Wires the controller together and runs it until SIGTERM or SIGINT."""

import asyncio
import logging
import os
import sys
import time
from contextlib import AsyncExitStack

from controller import config
from controller.decisions import Decisions
from controller.marker import Marker
from controller.metrics import ControllerCollector
from controller.watches import Watches
from handler_service import program
from handler_service.exposition import Exposition
from handler_service.kube.client import KubeClient
from servicestatus import logs, version
from servicestatus.http_ports import metrics_server, probe_server
from servicestatus.signals import stop_event

log = logging.getLogger("controller")


def main() -> None:
    """The program `controller`."""
    options = config.parse(sys.argv[1:], os.environ)
    logs.setup(options.log_level, options.log_format)
    program.run("controller", run(options), log)


async def run(options: config.Config) -> None:
    """Work until a signal comes; raises SocketError, ConfigurationError."""
    stop = stop_event()
    installed = version.installed()
    client = KubeClient(options.kubeconfig, options.api_timeout, f"vmi-service-status-controller/{installed}")
    decisions = Decisions()
    clock = time.monotonic
    watches = Watches(client, options.lease_namespace, options.watch_timeout, decisions, clock)
    marker = Marker(client, options.lease_namespace, decisions, clock, time.time, list_again=watches.list_again)
    metrics = Exposition(ControllerCollector(decisions, marker, watches.followed, clock, installed))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(client)
        if options.probe_address is not None:
            probes = probe_server(options.probe_address, lambda: _ready(decisions, stop))
            await stack.enter_async_context(probes)
        if options.metrics_address is not None:
            await stack.enter_async_context(metrics_server(options.metrics_address, metrics.render))
        log.info("%s: following the handlers' Leases in namespace %s", installed, options.lease_namespace)
        work = asyncio.create_task(_work(watches, marker))
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        log.info("stopping; what is marked stays")
        work.cancel()
        waiting.cancel()
        await asyncio.gather(work, waiting, return_exceptions=True)


def _ready(decisions: Decisions, stop: asyncio.Event) -> bool:
    """Whether it can mark. Without KubeVirt there are no VMIs, and what expires is marked all the same."""
    return decisions.leases_synced and decisions.companions_synced and not stop.is_set()


async def _work(watches: Watches, marker: Marker) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(watches.run())
        group.create_task(marker.run())
