"""Process 1 of a set of namespaces: `python -m tests.cluster.init FOLDER hub|n1|n2...`.

It prepares them, starts what belongs into them, and then reaps. It ends when one of its servers has ended, and with it
the kernel ends all that is in the namespaces: a node is there as a whole or not at all.
"""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.processes import ManagedProcess
from tests.cluster import init_hub, init_node
from tests.cluster.plan import HUB, read_plan

log = logging.getLogger(__name__)


def main() -> None:
    plan = read_plan(Path(sys.argv[1]))
    name = sys.argv[2]
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    servers = init_hub.start(plan) if name == HUB else init_node.start(plan, int(name.removeprefix("n")))
    log.info("all servers are started")
    log.error("%s has ended", reap(servers))


def reap(servers: Sequence[ManagedProcess]) -> ManagedProcess:
    """Waits for any child, adopted ones too, until a server is among those that ended; returns that one."""
    while True:
        for server in servers:
            if not server.running:
                return server
        os.wait()


if __name__ == "__main__":
    main()
