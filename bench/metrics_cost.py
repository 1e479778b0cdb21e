"""Measures the cost of a handler's metrics: series, bytes and milliseconds of a scrape, and memory with and without.

The handler uses the publisher `file` and has 250 VMs, each with a simulated agent and one viewer. No cluster is needed,
because the additional cost of a handler in a cluster is the same with metrics and without. Run it in the root of the
tree, with the tree's Python: `.venv/bin/python -m bench.metrics_cost`.
"""

import argparse
import contextlib
import http.client
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from testbed.processes import ManagedProcess, script
from tests.apiserver.peers import Peers
from tests.cluster.ports import free_port

VMS = 250
SCRAPES = 20
COUNTERS = types.AgentCounters(libvirt_connects=1, events_received=2, queries=1)
CPU = re.compile(rb"^process_cpu_seconds_total (\S+)", re.MULTILINE)
FORMS = {"text": "", "OpenMetrics": "application/openmetrics-text;version=1.0.0"}


def handler(folder: Path, port: int, vms: int, *, metrics: bool) -> ManagedProcess:
    """Return a handler that is not started."""
    (folder / "vmis/default").mkdir(parents=True, exist_ok=True)
    for number in range(vms):
        vmi = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": f"vm-{number}"}}
        (folder / f"vmis/default/vm-{number}.json").write_text(json.dumps(vmi))
    endpoints = [f"--endpoint=default/vm-{number}={folder}/{number}.sock" for number in range(vms)]
    flags = [
        f"--file-dir={folder}/vmis",
        f"--admin-socket={folder}/admin.sock",
        f"--metrics-address=127.0.0.1:{port}" if metrics else f"--probe-address=127.0.0.1:{port}",
    ]
    return ManagedProcess([script("handler-service"), *endpoints, *flags], log=folder / "handler.log")


def scrape(port: int, accept: str) -> tuple[float, bytes]:
    """Return the milliseconds and the body of a scrape over a new connection, when the last one is no longer shared."""
    time.sleep(1.1)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Accept": accept})
        body = connection.getresponse().read()
        return (time.perf_counter() - began) * 1000, body


def measure(vms: int, *, metrics: bool) -> None:
    """Measure one handler, from its start to its end."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp") as name, Peers() as peers:
        folder = Path(name)
        with handler(folder, port, vms, metrics=metrics) as running:
            agents = peers.connect_all([folder / f"{number}.sock" for number in range(vms)])
            for agent in agents:
                agent.snapshot(1)
            for agent in agents:
                agent.wait_published()
                agent.say(pb.ReportSessionsRequest(heartbeat=pb.Heartbeat(sequence=agent.sequence, counters=COUNTERS)))
            if metrics:
                scrapes(port)
            resident = running.memory().resident / 1024 / 1024
            print(f"metrics {'on' if metrics else 'off'}: {resident:.1f} MiB resident with {vms} VMs")


def scrapes(port: int) -> None:
    """Scrape repeatedly, as Prometheus does, and print the figures."""
    for name, accept in FORMS.items():
        taken = [scrape(port, accept) for _ in range(SCRAPES)]
        first, body = taken[0][1], taken[-1][1]
        busy = (_cpu(body) - _cpu(first)) / (SCRAPES - 1) * 1000
        series = sum(not line.startswith(b"#") for line in body.splitlines())
        times = sorted(milliseconds for milliseconds, _ in taken)
        print(
            f"{name}: {series} series, {len(body) / 1024:.0f} KiB, "
            f"{statistics.median(times):.0f} ms (median of {SCRAPES}; worst {times[-1]:.0f}), {busy:.0f} ms of CPU each"
        )


def _cpu(body: bytes) -> float:
    """Return the CPU seconds of the handler, by its own metric."""
    found = CPU.search(body)
    assert found is not None
    return float(found[1])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vms", type=int, default=VMS, help="(default: %(default)s)")
    vms = parser.parse_args().vms
    measure(vms, metrics=False)
    measure(vms, metrics=True)


if __name__ == "__main__":
    main()
