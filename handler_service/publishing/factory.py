"""Makes a publication with the spacing that all places share."""

import random
from typing import Final

from handler_service.publishers import Publisher
from handler_service.publishing.policy import WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from handler_service.publishing.worker import PublishWorker
from handler_service.status_manager import StatusManager
from servicestatus.rate_limit import TokenBucket

#: Writes that a node may make at once, and then one each interval. A node holds about 250 VMs: all of them may lose
#: their viewers in one moment and be right a second later; a node that never rests makes 25 writes a second.
NODE_BURST: Final = 256
NODE_INTERVAL: Final = 0.04


def worker(publisher: Publisher, manager: StatusManager) -> PublishWorker:
    """A publication of `publisher` that answers to `manager`."""
    bucket = TokenBucket(NODE_BURST, NODE_INTERVAL)
    scheduler = WriteScheduler(WritePolicy(), bucket, _jitter, publisher.detail)
    return PublishWorker(publisher, scheduler, manager.clock, manager.answered)


def _jitter(cap: float) -> float:
    return random.uniform(0, cap)  # noqa: S311  # spreads load, guards nothing
