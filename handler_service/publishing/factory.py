"""Makes a publication with the spacing that all places share."""

import random
from typing import Final

from handler_service.publishers import Publisher
from handler_service.publishing.policy import Spacing
from handler_service.publishing.scheduler import Clockwork
from handler_service.publishing.worker import Publication
from handler_service.status_manager import Hub
from servicestatus.rate_limit import TokenBucket

#: Writes that a node may make at once, and then one each interval. A node holds about 250 VMs: all of them may lose
#: their viewers in one moment and be right a second later; a node that never rests makes 25 writes a second.
NODE_BURST: Final = 256
NODE_INTERVAL: Final = 0.04


def publication(publisher: Publisher, hub: Hub) -> Publication:
    """A publication of `publisher` that answers to `hub`."""
    bucket = TokenBucket(NODE_BURST, NODE_INTERVAL)
    clockwork = Clockwork(Spacing(), bucket, _jitter, publisher.detail)
    return Publication(publisher, clockwork, hub.clock, hub.answered)


def _jitter(cap: float) -> float:
    return random.uniform(0, cap)  # noqa: S311  # spreads load, guards nothing
