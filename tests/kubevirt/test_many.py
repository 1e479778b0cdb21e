"""Many VMs at once: each number is right, the project's writes are few, and KubeVirt's programs do no extra work.

docs/kubevirt.md has the measured figures.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping

import pytest

from testbed.rfb import Viewer
from tests.apiserver.vmis import seen, told
from tests.cluster.cluster import Cluster
from tests.kubevirt.machines import WITHOUT, Machine, Machines
from tests.kubevirt.websocket import open_websocket
from tests.kubevirt.work import work_done

COUNT = 20
# Twenty that are started at once run within a minute, on two cores with a load of 60.
TIMEOUT = 300.0
# Versions of a companion: created; Reconciling, NoDomain and Watching; a viewer is connected, and none; Finished. And
# three for a moment in which a program or libvirt does not answer for 4.5 s, at a load of 60: it needs two writes.
VERSIONS = 10
# KubeVirt's work differs from run to run by a tenth, and by more where many try to write one VMI at once.
ALIKE = 1.5


@pytest.mark.timeout(900)
def test_twenty_vms_at_once(cluster: Cluster, machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them are started, watched, left and deleted together: first without the project, then with it."""
    without, alone, _ = run(cluster, machines, WITHOUT)
    with machines.record_companions() as versions:
        beside, together, watched = run(cluster, machines, {})
    written = Counter(event.object["metadata"]["name"] for event in versions.events if event.kind != "DELETED")
    shown = {event.object["metadata"]["name"] for event in versions.events if told(event.object) == seen(1)}
    with capsys.disabled():
        sys.stdout.write(f"\nwith us: all run after {together:.1f} s, {dict(beside)}")
        sys.stdout.write(f"\nwithout us: all run after {alone:.1f} s, {dict(without)}")
        sys.stdout.write(f"\nversions of each companion: {sorted(written.values())}\n")
    assert len(watched) == COUNT
    assert shown == watched
    assert len(written) == COUNT
    assert max(written.values()) <= VERSIONS, written
    assert {what: n for what, n in beside.items() if n > ALIKE * without[what] + COUNT} == {}, without


def run(cluster: Cluster, machines: Machines, labels: Mapping[str, str]) -> tuple[Counter[str], float, set[str]]:
    """Return what KubeVirt's programs did for all of them, the seconds until all ran, and which have an agent."""
    before = work_done(cluster)
    begin = time.monotonic()
    started = [machines.create(f"vm-{number}", labels=labels, node=None) for number in range(COUNT)]
    for machine in started:
        machine.wait_running()
    running = time.monotonic() - begin
    counted = [machine for machine in started if machine.has_agent]
    watch(cluster, counted or started, counted=bool(counted))
    for machine in started:
        machine.vmi.delete()
    machines.wait_none()
    return work_done(cluster) - before, running, {machine.vmi.name for machine in counted}


def watch(cluster: Cluster, started: list[Machine], *, counted: bool) -> None:
    """Connect a viewer to each, all at once; with an agent, wait until it is shown, and until its end is shown."""
    if counted:
        for machine in started:
            machine.vmi.wait_told(seen(0), timeout=TIMEOUT)
    viewers = [Viewer(open_websocket(cluster.kubeconfig, machine.vmi, "vnc")).handshake() for machine in started]
    if counted:
        for machine in started:
            machine.vmi.wait_told(seen(1), timeout=TIMEOUT)
    for viewer in viewers:
        viewer.close()
    if counted:
        for machine in started:
            machine.vmi.wait_told(seen(0), timeout=TIMEOUT)
