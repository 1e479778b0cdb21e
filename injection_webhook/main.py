"""Wires the webhook together and runs it until SIGTERM or SIGINT."""

import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack

from handler_service import program
from handler_service.exposition import Exposition
from handler_service.kube.client import KubeClient
from handler_service.kube.reflector import Reflector
from injection_webhook import config
from injection_webhook.certificate import ServingCertificate
from injection_webhook.metrics import WebhookCollector
from injection_webhook.server import admission_server
from injection_webhook.stats import Stats
from injection_webhook.template import Template, follow
from servicestatus import logs, version
from servicestatus.http_ports import metrics_server, probe_server
from servicestatus.signals import stop_event

log = logging.getLogger("injection_webhook")


def main() -> None:
    """The program `injection-webhook`."""
    options = config.parse(sys.argv[1:], os.environ)
    logs.setup(options.log_level, options.log_format)
    program.run("injection-webhook", run(options), log)


async def run(options: config.Config) -> None:
    """Work until a signal comes; raises SocketError, ConfigurationError."""
    stop = stop_event()
    installed = version.installed()
    client = KubeClient(options.kubeconfig, options.api_timeout, f"vmi-service-status-webhook/{installed}")
    template, stats = Template(), Stats()
    certificate = ServingCertificate(options.certificate_dir)
    followed = follow(client, options.template_namespace, options.template_name, options.watch_timeout, template)
    server = admission_server(options.address, certificate, template, stats)
    metrics = Exposition(WebhookCollector(stats, certificate, template, followed, installed))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(client)
        certificate.look()
        if options.probe_address is not None:

            def ready() -> bool:
                return template.synced and certificate.usable and not stop.is_set()

            await stack.enter_async_context(probe_server(options.probe_address, ready))
        if options.metrics_address is not None:
            await stack.enter_async_context(metrics_server(options.metrics_address, metrics.render))
        await stack.enter_async_context(server)
        log.info("%s: answering on %s", installed, options.address)
        work = asyncio.create_task(_work(followed, certificate))
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            # Not ready from now on: until every API server has learned that, it goes on to send reviews here.
            log.info("stopping; answering for %g s more", options.drain_timeout)
            await asyncio.wait([work], timeout=options.drain_timeout)
        if work.done():
            work.result()
        work.cancel()
        waiting.cancel()
        await asyncio.gather(work, waiting, return_exceptions=True)


async def _work(followed: Reflector, certificate: ServingCertificate) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(followed.run())
        group.create_task(certificate.run())
