"""The whole path on a real node, from a viewer at QEMU's socket to the output of `kubectl get vmiss`."""

import re
from collections.abc import Callable

import pytest

from testbed.kubevirt_proxy import VncProxy
from testbed.pool import ViewerPool
from testbed.rfb import Viewer
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen, told
from tests.cluster.workloads import Workloads
from tests.node.launcher.kubevirt import KubeVirt, Machine
from tests.node.place import Ability


def printed(cluster: Workloads, machine: Machine) -> dict[str, str]:
    """Return the columns of `kubectl get vmiss`."""
    vmi = machine.vmi
    header, line = cluster.kubectl("get", "vmiss", vmi.name, f"--namespace={vmi.namespace}").splitlines()
    columns = re.finditer(r"\S+\s*", header)
    return {column[0].strip(): line[column.start() : column.end()].strip() for column in columns}


def assert_printed(cluster: Workloads, machine: Machine, sessions: str, idle: str) -> None:
    row = printed(cluster, machine)
    assert (row["SESSIONS"], row["OBSERVED"], row["IDLE"]) == (sessions, "True", idle)


def test_viewers_are_counted(cluster: Workloads, kubevirt: KubeVirt, viewers: ViewerPool) -> None:
    """No viewer, one, one in place of another, three, none: `kubectl` shows each."""
    machine = kubevirt.start()
    machine.vmi.wait_told(seen(0))
    assert_printed(cluster, machine, sessions="", idle="True")
    with VncProxy(machine.display) as proxy:
        proxy.open()
        machine.vmi.wait_told(seen(1))
        assert_printed(cluster, machine, sessions="1", idle="False")
        assert_does_not_show(machine, proxy.open)
        viewers.establish(machine.display)
        viewers.establish(machine.display)
        machine.vmi.wait_told(seen(3))
        assert_printed(cluster, machine, sessions="3", idle="False")
        viewers.close_all()
    machine.vmi.wait_told(seen(0))
    assert_printed(cluster, machine, sessions="", idle="True")
    with VncProxy(machine.display) as proxy:
        proxy.take_over()
        machine.vmi.wait_told(seen(1))
        assert_does_not_show(machine, proxy.take_over)


def assert_does_not_show(machine: Machine, take_over: Callable[[], Viewer]) -> None:
    """One viewer replaces another, and a wrong value has more time to show than a fall's delay."""
    with machine.vmi.record_companion() as versions, Sampler(machine.vmi.told) as samples:
        assert take_over().connected
        wait_until(lambda: samples.samples, lambda count: count > 150, what="150 samples were taken")
    assert samples.values == [seen(1)], str(samples)
    assert versions.values(told) == [seen(1)]


@pytest.mark.needs(Ability.LOOK)
def test_a_pod_needs_no_network(kubevirt: KubeVirt, viewers: ViewerPool) -> None:
    """Its address may be the guest's, so that no process in the pod can use it."""
    machine = kubevirt.start()
    machine.launcher.cut_off()
    viewers.establish(machine.display)
    machine.vmi.wait_told(seen(1))


def test_two_launchers_of_one_vmi_add_up(kubevirt: KubeVirt, viewers: ViewerPool) -> None:
    """While both are on the node; when a launcher ends, its viewers end."""
    machine = kubevirt.start(launchers=2)
    machine.vmi.wait_told(seen(0))
    one, other = machine.launchers
    viewers.establish(one.display)
    machine.vmi.wait_told(seen(1))
    viewers.establish(other.display)
    viewers.establish(other.display)
    machine.vmi.wait_told(seen(3))
    other.delete()
    other.wait_gone()
    machine.vmi.patch(activePods={other.uid: None})
    machine.vmi.wait_told(seen(1))


def test_vms_of_one_node_are_distinguished(kubevirt: KubeVirt, viewers: ViewerPool) -> None:
    """Each has its own viewers and no others."""
    machines = [kubevirt.start(name) for name in ("first", "second")]
    for count, machine in enumerate(machines, start=1):
        for _ in range(count):
            viewers.establish(machine.display)
    machines[0].vmi.wait_told(seen(1))
    machines[1].vmi.wait_told(seen(2))
