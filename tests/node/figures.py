"""Measures the figures of `docs/` on a real node: `python -m tests.node.figures`. It prints, and asserts nothing.

It measures the time from a viewer's connection until `kubectl` would show it, and from its end until it is gone; and
the memory that the kernel charges to an agent's and to the handler's container.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

from testbed.rfb import Viewer
from tests.apiserver.client import Client, Recorder
from tests.apiserver.vmis import seen, told
from tests.cluster.cluster import Cluster
from tests.node.archives import AGENT, HANDLER, archive_of
from tests.node.installation import HANDLER as HANDLER_CONTAINER
from tests.node.installation import Installation
from tests.node.launcher.image import launcher_archive
from tests.node.launcher.kubevirt import KubeVirt, Machine
from tests.node.launcher.shape import AGENT as AGENT_CONTAINER
from tests.node.pods import NodePod
from tests.node.site import Site

CONNECTS = 50
# Seconds: a VMI is written at most once a second, a delay that would otherwise be measured too.
PAUSE = 1.2


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp") as links:
        archives = [launcher_archive(), archive_of(AGENT), archive_of(HANDLER)]
        with (
            Cluster(Path(links, "cluster"), images=archives[:1]) as cluster,
            contextlib.closing(Client(cluster.kubeconfig)) as client,
        ):
            for archive in archives[1:]:
                cluster.nodes[0].import_images(archive)
            _measure(Site(cluster, client, Path(links)))


def _measure(site: Site) -> None:
    installation = Installation(site)
    installation.apply()
    machine = KubeVirt(site, site.cluster.create_namespace()).start()
    machine.vmi.wait_told(seen(0))
    with machine.vmi.record_companion() as versions:
        pairs = [_visit(machine, versions) for _ in range(CONNECTS)]
    _print_times("connect -> visible", [connected for connected, _ in pairs])
    _print_times("close -> gone", [closed for _, closed in pairs])
    _print_memory("agent", machine.launcher, AGENT_CONTAINER)
    _print_memory("handler", installation.handler, HANDLER_CONTAINER)
    _print_memory("opener", installation.handler, "opener")


def _visit(machine: Machine, versions: Recorder) -> tuple[float, float]:
    """Return the seconds until a viewer is in the object, seen by a watch, and from its end until it is gone."""
    start = time.monotonic()
    viewer = Viewer.establish(machine.display)
    connected = _wait(versions, 1) - start
    time.sleep(PAUSE)
    start = time.monotonic()
    viewer.close()
    closed = _wait(versions, 0) - start
    time.sleep(PAUSE)
    return connected, closed


def _wait(versions: Recorder, sessions: int) -> float:
    """Return when the object was first seen with this number."""
    versions.wait_for(told, seen(sessions))
    return versions.events[-1].at


def _print_times(what: str, seconds: list[float]) -> None:
    cuts = quantiles(seconds, n=100, method="inclusive")
    _say(f"{what}: p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, of {len(seconds)}")


def _print_memory(what: str, pod: NodePod, container: str) -> None:
    parts = (f"{name} {size / 1024 / 1024:.1f}" for name, size in pod.memory(container).items())
    _say(f"memory of the {what}'s container in MiB: {', '.join(parts)}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
