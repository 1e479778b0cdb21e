"""Many VMs at once: each number is right, our writes are few, and KubeVirt's programs have no more to do than without us.

KUBEVIRT_VMS=20 makes them twenty, for an idle machine; what was measured then is in docs/kubevirt.md.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping

import pytest

from tests.apiserver.vmis import seen, told
from tests.cluster.cluster import Cluster
from tests.kubevirt.machines import WITHOUT, Machine, Machines
from tests.kubevirt.websocket import open_websocket
from tests.kubevirt.work import work_done
from tests.support.rfb import Viewer

# Each takes a second or two of one core to start, and both kinds are started.
COUNT = int(os.environ.get("KUBEVIRT_VMS", "5"))
TIMEOUT = 60.0 + 10 * COUNT
# Of a companion: created; Reconciling, NoDomain and Watching at most; somebody is there, and nobody; Finished.
VERSIONS = 7
# KubeVirt's work differs from run to run by a tenth, and by more where many try to write one VMI at once.
ALIKE = 1.5


@pytest.mark.timeout(4 * TIMEOUT)
def test_many_vms_at_once(cluster: Cluster, machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them are started, watched, left and deleted together: first without us, then with us."""
    without = run(cluster, machines, "without", WITHOUT)
    with machines.record_companions() as versions:
        beside = run(cluster, machines, "with", {})
    written = Counter(event.object["metadata"]["name"] for event in versions.events if event.kind != "DELETED")
    told_of = [event for event in versions.events if event.kind != "DELETED" and told(event.object) == seen(1)]
    with capsys.disabled():
        for title, figures in (("with us", beside), ("without us", without), ("versions", written)):
            sys.stdout.write(f"\n{title}: {dict(figures)}")
    assert Counter(event.object["metadata"]["name"] for event in told_of) == dict.fromkeys(written, 1)
    assert len(written) == COUNT
    assert max(written.values()) <= VERSIONS, written
    assert {what: count for what, count in beside.items() if count > ALIKE * without[what] + COUNT} == {}, without


def run(cluster: Cluster, machines: Machines, kind: str, labels: Mapping[str, str]) -> Counter[str]:
    """The life of them all; what KubeVirt's programs did for it."""
    before = work_done(cluster)
    begin = time.monotonic()
    started = [machines.create(f"{kind}-{number}", labels=labels, node=None) for number in range(COUNT)]
    for machine in started:
        machine.wait_running()
    sys.stdout.write(f"{kind}: {COUNT} run after {time.monotonic() - begin:.1f} s\n")
    watch(cluster, started, counted=kind == "with")
    for machine in started:
        machine.vmi.delete()
    machines.wait_none()
    return work_done(cluster) - before


def watch(cluster: Cluster, started: list[Machine], *, counted: bool) -> None:
    """A viewer at each, all at once; with an agent there, until that has been told, and until it has gone again."""
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
