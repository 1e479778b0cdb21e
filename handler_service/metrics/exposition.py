"""Writes all metrics out for one scrape, in the form that the scraper asked for."""

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from handler_service.metrics.handler import ApiCollector, HandlerCollector
from handler_service.metrics.vmis import VmiCollector
from handler_service.stats import ApiStats
from handler_service.status_manager import StatusManager


class Exposition:
    """All collectors of one handler, in a registry of their own."""

    def __init__(self, manager: StatusManager, api: ApiStats | None, node: str, version: str) -> None:
        """`node` is empty, and `api` None, outside a cluster."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(VmiCollector(manager, node))
        self._registry.register(HandlerCollector(manager, version))
        if api is not None:
            self._registry.register(ApiCollector(api))
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type, by a request's Accept header."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
