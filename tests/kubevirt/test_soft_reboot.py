"""`virtctl soft-reboot`: the guest starts again in the same QEMU, and its viewers stay connected."""

from pathlib import Path

from testbed.sampler import Sampler
from testbed.transports import WebsocketTransport
from tests.apiserver.vmis import seen, told
from tests.cluster.cluster import Cluster
from tests.kubevirt.guest import ALIVE, BOOTED, guest_archive, guest_spec
from tests.kubevirt.machines import QEMU, Machines
from tests.kubevirt.objects import instance
from tests.kubevirt.websocket import open_websocket


def wait_for(console: WebsocketTransport, said: bytes) -> None:
    """Read up to this text."""
    while console.receive(1) != said:
        pass


def test_a_guest_reboots_under_its_viewer(cluster: Cluster, machines: Machines, tmp_path: Path) -> None:
    """The same QEMU, the same viewer, 1 in each sample; and absent when it has left."""
    cluster.nodes[0].import_images(guest_archive(tmp_path))
    machine = machines.start(spec=guest_spec(instance("vm", "")["spec"]["domain"]))
    console = open_websocket(cluster.kubeconfig, machine.vmi, "console")
    with machine.virtctl() as virtctl:
        viewer = virtctl.view()
        machine.vmi.wait_told(seen(1))
        qemu = machine.processes(QEMU)
        with machine.vmi.record_companion() as versions, Sampler(machine.vmi.told) as samples:
            wait_for(console, ALIVE)
            machine.do("soft-reboot")
            wait_for(console, BOOTED)
        assert samples.values == [seen(1)], str(samples)
        assert versions.values(told) == [seen(1)]
        assert viewer.connected
        assert machine.processes(QEMU) == qemu
    console.close()
    machine.vmi.wait_told(seen(0))
