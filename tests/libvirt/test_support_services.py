"""The clients of USB redirections, consoles and SPICE, and what libvirt and QEMU say about them.

These are the measured facts that the agent's polling depends on.
"""

from collections import Counter
from contextlib import closing

import pytest

from testbed import usbredir
from testbed.clients import Client, ConsoleClient
from testbed.event_log import CONNECT, DISCONNECT, INITIALIZE, EventLog
from testbed.spice import CURSOR, INPUTS, SpiceViewer
from testbed.truth import has_client, is_attached, is_tainted, spice_channels
from testbed.usbredir import UsbClient
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.libvirt.usbredir_library import GuestSide


@pytest.fixture
def running(vms: VirtualMachines) -> VirtualMachine:
    """With a console and four slots. Only a VM that runs puts a device on its bus."""
    return vms.with_ports().start(paused=False)


def wait_client(vm: VirtualMachine, device: str, *, there: bool) -> None:
    what = f"a client at {device}: {there}"
    wait_until(lambda: has_client(vm, device), lambda found: found is there, what=what)


def wait_attached(vm: VirtualMachine, device: str, *, attached: bool) -> None:
    what = f"a device at {device}: {attached}"
    wait_until(lambda: is_attached(vm, device), lambda found: found is attached, what=what)


# --- USB redirection --------------------------------------------------------------------------------------------------


def test_the_protocols_own_library_understands_the_client() -> None:
    """Without an error or a warning."""
    with closing(GuestSide()) as guest:
        for sent in (usbredir.hello(), usbredir.interface_info(), usbredir.ep_info()):
            guest.read(sent)
        guest.read(usbredir.device_connect(0x1D6B, 0x0104))
        guest.read(usbredir.packet(usbredir.DEVICE_DISCONNECT))
        assert guest.packets == [
            "hello",
            "interface_info",
            "ep_info",
            ("device_connect", 0x1D6B, 0x0104),
            "device_disconnect",
        ]
        assert guest.problems == []


def test_the_protocols_own_library_rejects_nonsense() -> None:
    """So that its silence about the client proves something."""
    with closing(GuestSide()) as guest:
        guest.read(usbredir.hello() + usbredir.packet(usbredir.DEVICE_CONNECT, b"x"))
        assert guest.problems
        assert "hello" in guest.packets


def test_a_device_is_attached_unplugged_and_attached_again(running: VirtualMachine) -> None:
    """The client stays connected while its device comes and goes; the other slots do not notice."""
    with UsbClient.connect(running.slot(2)) as client:
        client.hello()
        assert client.wait_hello().startswith("qemu usb-redir guest")
        wait_client(running, "redir2", there=True)
        assert not is_attached(running, "redir2")
        client.plug()
        wait_attached(running, "redir2", attached=True)
        client.unplug()
        wait_attached(running, "redir2", attached=False)
        assert has_client(running, "redir2")
        client.plug()
        wait_attached(running, "redir2", attached=True)
        assert [has_client(running, f"redir{other}") for other in (0, 1, 3)] == [False] * 3
    wait_attached(running, "redir2", attached=False)
    wait_client(running, "redir2", there=False)


def test_a_client_that_speaks_nonsense_is_connected_and_attaches_nothing(running: VirtualMachine) -> None:
    with Client.connect(running.slot(0)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        wait_client(running, "redir0", there=True)
        with UsbClient.redirect(running.slot(1)):
            wait_attached(running, "redir1", attached=True)
        assert has_client(running, "redir0")
        assert not is_attached(running, "redir0")


def test_a_paused_vm_attaches_a_device_when_it_resumes(vms: VirtualMachines) -> None:
    vm = vms.with_ports().start()
    with UsbClient.redirect(vm.slot(0)):
        wait_client(vm, "redir0", there=True)
        assert not is_attached(vm, "redir0")
        vm.resume()
        wait_attached(vm, "redir0", attached=True)


def test_slots_can_be_added_and_removed(running: VirtualMachine) -> None:
    """A removed one disconnects its client."""
    path = running.ports.usb[0].with_name("virt-usbredir-9")
    running.plug_slot(path)
    wait_client(running, "redir4", there=False)
    with UsbClient.redirect(running.slot(3)) as client:
        wait_attached(running, "redir3", attached=True)
        running.unplug_slot(running.ports.usb[3])
        client.wait_closed()
    labels = [one["label"] for one in running.monitor("query-chardev")]
    assert "charredir4" in labels
    assert "charredir3" not in labels


# --- the console ------------------------------------------------------------------------------------------------------


def test_the_console_serves_one_client_and_the_next_one_waits(vms: VirtualMachines) -> None:
    """The second is in the backlog of the socket until the first has left."""
    vm = vms.with_ports(usb=False).start()
    assert not has_client(vm, "serial0")
    with ConsoleClient.connect(vm.console) as first, ConsoleClient.connect(vm.console) as second:
        wait_client(vm, "serial0", there=True)
        assert first.connected
        first.close()
        wait_client(vm, "serial0", there=True)
        assert second.connected
    wait_client(vm, "serial0", there=False)


def test_no_event_reports_a_client_of_a_port(running: VirtualMachine) -> None:
    """Neither a console's nor a redirection's."""
    with EventLog(running.libvirtd.uri, running.name) as events:
        with ConsoleClient.connect(running.console), UsbClient.redirect(running.slot(0)):
            wait_attached(running, "redir0", attached=True)
            wait_client(running, "serial0", there=True)
        wait_client(running, "redir0", there=False)
        assert events.phases == []


def test_a_vm_is_tainted_by_the_first_query_only(running: VirtualMachine) -> None:
    assert not is_tainted(running)
    running.monitor("query-chardev")
    running.monitor("query-chardev")
    assert is_tainted(running)


# --- SPICE ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["tcp", "unix"])
def spice(request: pytest.FixtureRequest, vms: VirtualMachines) -> VirtualMachine:
    """A VM with a SPICE server, on each kind of socket."""
    return vms.with_spice(unix=request.param == "unix").start()


def test_each_channel_of_a_spice_viewer_is_initialized_and_the_main_one_is_first(spice: VirtualMachine) -> None:
    with EventLog(spice.libvirtd.uri, spice.name) as events:
        with SpiceViewer.establish(spice.address, INPUTS, CURSOR) as viewer:
            wait_until(
                lambda: Counter(events.phases)[INITIALIZE], lambda count: count == 3, what="three are initialized"
            )
            listed = spice_channels(spice)
            assert {kind for _, kind in listed} == {1, INPUTS, CURSOR}
            assert {session for session, _ in listed} == {viewer.session}
        expected = {CONNECT: 3, INITIALIZE: 3, DISCONNECT: 3}
        wait_until(lambda: Counter(events.phases), expected.__eq__, what="all are disconnected")
    assert spice_channels(spice) == []


def test_an_unfinished_spice_client_is_not_listed(spice: VirtualMachine) -> None:
    with EventLog(spice.libvirtd.uri, spice.name) as events, SpiceViewer(spice.address) as viewer:
        viewer.dial()
        events.wait_for(CONNECT)
        assert spice_channels(spice) == []


def test_a_second_spice_viewer_throws_the_first_one_out(spice: VirtualMachine) -> None:
    with SpiceViewer.establish(spice.address, INPUTS) as first, SpiceViewer.establish(spice.address, INPUTS) as second:
        assert not first.connected
        assert second.connected
        wait_until(
            lambda: {session for session, _ in spice_channels(spice)},
            lambda sessions: sessions == {second.session},
            what="QEMU lists the second one only",
        )
