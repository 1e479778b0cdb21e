"""Process 1 of a set of namespaces: `python -m tests.cluster.init FOLDER plane|n1|n2...`; `plane` is the control plane.

It prepares the namespaces, starts their servers, and then reaps processes. It exits when one of the servers has ended,
and the kernel then ends every process in the namespaces: a node runs as a whole or not at all.
"""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.processes import ManagedProcess
from tests.cluster import init_hub, init_node
from tests.cluster.plan import CONTROL_PLANE, read_plan

log = logging.getLogger(__name__)


def main() -> None:
    plan = read_plan(Path(sys.argv[1]))
    name = sys.argv[2]
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    servers = init_hub.start(plan) if name == CONTROL_PLANE else init_node.start(plan, int(name.removeprefix("n")))
    log.info("all servers are started")
    log.error("%s has ended", reap(servers))


def reap(servers: Sequence[ManagedProcess]) -> ManagedProcess:
    """Wait for any child, including adopted ones, until a server is among those that ended; return that server."""
    while True:
        for server in servers:
            if not server.running:
                return server
        os.wait()


if __name__ == "__main__":
    main()
