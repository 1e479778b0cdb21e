"""A viewer is, or may be, connected and no event reports it: the agent counts it, or reports that it cannot."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from testbed import procfs
from testbed.addresses import Address, TcpAddress
from testbed.domains import FdGraphics, SpiceGraphics, TcpGraphics
from testbed.libvirtd import PrivateLibvirt
from testbed.pool import ViewerPool
from testbed.promises import SHOWN_WITHIN
from testbed.rfb import Viewer
from testbed.spice import INPUTS, SpiceViewer
from testbed.transports import SocketTransport
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.cluster.ports import free_port
from tests.libvirt.pair import SPICE, Pair


@pytest.fixture
def own(new_libvirtd: Callable[[], PrivateLibvirt]) -> PrivateLibvirt:
    return new_libvirtd()


@pytest.fixture
def port() -> int:
    """A port of the loopback address above 5900, for a VNC server that QEMU's own arguments add."""
    return free_port()


def display(port: int) -> str:
    return f"127.0.0.1:{port - 5900}"


def runs_qemu(libvirtd: PrivateLibvirt) -> bool:
    """Whether a process of libvirt has become QEMU. Until then it is a copy of libvirtd that waits for libvirtd."""
    return any(line and b"qemu" in line[0] for line in map(procfs.command_line, libvirtd.qemu_pids()))


def wait_reason(pair: Pair, expected: str) -> Any:
    def is_it(status: Any) -> bool:
        seen = status["endpoints"][0].get("observation", {}).get("reason")
        return bool(seen == f"OBSERVATION_REASON_{expected}")

    return pair.wait_status(is_it, f"the agent reports {expected}")


def accuracy(pair: Pair) -> str:
    services = pair.endpoint().get("services", [{}])
    return str(services[0].get("accuracy", "")).removeprefix("ACCURACY_")


def assert_unobservable(machine: VirtualMachine) -> None:
    """A lower bound, and not observed, because of a server without a listener."""
    with Pair(machine) as pair:
        pair.handler.start()
        pair.agent.start()
        wait_reason(pair, "UNOBSERVABLE_LISTENER")
        assert accuracy(pair) == "LOWER_BOUND"
        assert not pair.summary().get("observed")


def at_both(viewers: ViewerPool, first: int, second: int) -> tuple[Viewer, Viewer]:
    """Two viewers with one address and port, at two ports of QEMU."""
    connections = []
    bound = 0
    for _ in range(2):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        client.bind(("127.0.0.1", bound))
        bound = client.getsockname()[1]
        connections.append(client)
    made = []
    for client, server in zip(connections, (first, second), strict=True):
        client.connect(("127.0.0.1", server))
        made.append(viewers.adopt(Viewer(SocketTransport(client))))
    return made[0], made[1]


class EarlyViewer:
    """Connects again and again until a handshake succeeds, as a viewer that waits for the VM."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._dial)
        self.viewer: Viewer | None = None

    def __enter__(self) -> "EarlyViewer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.viewer is not None:
            self.viewer.close()

    def _dial(self) -> None:
        while self.viewer is None and not self._stop.is_set():
            try:
                self.viewer = Viewer.establish(self._address)
            except (OSError, EOFError):
                time.sleep(0.002)


@pytest.mark.parametrize("listens_on", ["TCP", "a unix socket"])
def test_a_viewer_that_was_connected_before_libvirt_was_ready_is_counted(
    own: PrivateLibvirt, port: int, listens_on: str
) -> None:
    """QEMU drops its events until libvirt has finished the negotiation; libvirtd is frozen in between."""
    machines = VirtualMachines(own)
    tcp = listens_on == "TCP"
    machine = machines.with_graphics(None, arguments=["-vnc", display(port)]) if tcp else machines.new()
    machine.start().destroy()  # it is defined, and libvirt has probed QEMU
    with Pair(machine) as pair, EarlyViewer(TcpAddress(port) if tcp else machine.address) as early:
        pair.start()
        start = threading.Thread(target=machine.start)
        start.start()
        wait_until(lambda: runs_qemu(own), what="QEMU runs", interval=0.001)
        own.freeze()
        wait_until(lambda: early.viewer, what="the viewer is connected")
        own.thaw()
        start.join()
        pair.wait_sessions(1, timeout=SHOWN_WITHIN)
        pair.wait_observed()
        assert int(pair.endpoint()["counters"]["queries"]) >= 1


def test_a_viewer_that_connects_while_libvirt_holds_the_domains_lock_is_not_missed(
    own: PrivateLibvirt, viewers: ViewerPool
) -> None:
    machine = VirtualMachines(own).new().start()
    with Pair(machine) as pair:
        pair.start()
        with machine.locked():
            viewers.establish(machine.address)
            begin = time.monotonic()
            summary = pair.wait_unknown()["services"][0]
            assert time.monotonic() - begin < SHOWN_WITHIN
            assert "LibvirtUnreachable" in summary["message"]
        pair.wait_sessions(1, timeout=SHOWN_WITHIN)
        pair.wait_observed()
        assert accuracy(pair) == "EXACT"


def test_the_lock_of_another_domain_does_not_matter_when_the_domain_is_restarted(
    own: PrivateLibvirt, viewers: ViewerPool
) -> None:
    """Listing all domains would wait for that lock."""
    machine, other = (VirtualMachines(own).new().start() for _ in range(2))
    with Pair(machine) as pair:
        pair.start()
        with other.locked():
            machine.destroy()
            machine.start()
            viewers.establish(machine.address)
            pair.wait_sessions(1, timeout=SHOWN_WITHIN)
            pair.wait_observed()


def test_a_viewer_of_a_server_that_only_qemus_arguments_name_is_counted(
    vms: VirtualMachines, viewers: ViewerPool, port: int
) -> None:
    machine = vms.with_graphics(None, arguments=["-vnc", display(port)]).start()
    with Pair(machine) as pair:
        pair.start()
        viewer = viewers.establish(TcpAddress(port))
        pair.wait_sessions(1)
        viewer.close()
        pair.wait_sessions(None)


def test_a_viewer_of_a_second_server_is_found_after_the_agents_restart(
    vms: VirtualMachines, viewers: ViewerPool, port: int
) -> None:
    machine = vms.with_graphics(TcpGraphics(), arguments=["-vnc", f"{display(port)},id=two"]).start()
    viewers.establish(TcpAddress(port))
    with Pair(machine) as pair:
        pair.start()
        pair.wait_sessions(1)
        viewers.close_all()
        pair.wait_sessions(None)


def test_one_client_address_at_two_servers_is_two_viewers_also_after_the_agents_restart(
    vms: VirtualMachines, viewers: ViewerPool, port: int
) -> None:
    machine = vms.with_graphics(TcpGraphics(), arguments=["-vnc", f"{display(port)},id=two"]).start()
    address = machine.address
    assert isinstance(address, TcpAddress)
    with Pair(machine) as pair:
        pair.start()
        stays, goes = at_both(viewers, address.port, port)
        with pair.sample() as sampler:
            stays.handshake()
            pair.wait_sessions(1)
            goes.handshake()
            pair.wait_sessions(2)
            pair.agent.kill()
            pair.agent.start()
            pair.wait_observed()
            assert pair.sessions == 2
            goes.close()
            pair.wait_sessions(1)
        assert None not in sampler.values[1:], str(sampler)
        assert pair.sessions == 1


def test_a_second_connection_of_a_viewers_address_to_the_websocket_port_does_not_hide_the_viewer(
    vms: VirtualMachines, viewers: ViewerPool
) -> None:
    """QEMU reports the two with the same addresses."""
    machine = vms.with_graphics(TcpGraphics(websocket=True)).start()
    address = machine.address
    assert isinstance(address, TcpAddress)
    with Pair(machine) as pair:
        pair.start()
        viewer, other = at_both(viewers, address.port, machine.websocket_address.port)
        viewer.handshake()
        pair.wait_sessions(1)
        pair.agent.kill()
        pair.agent.start()
        pair.wait_sessions(2)  # QEMU lists both, and not which of them has completed its handshake
        other.close()
        pair.wait_sessions(1)
        assert viewer.connected


def test_a_server_without_a_listener_is_never_observed(vms: VirtualMachines) -> None:
    assert_unobservable(vms.with_graphics(FdGraphics()).start())


def test_a_server_without_a_listener_that_the_description_does_not_show_is_never_observed(
    vms: VirtualMachines, libvirtd: PrivateLibvirt
) -> None:
    """A hook, a wrapper or a file may add one to QEMU's arguments. QEMU's own answer shows it."""
    file = libvirtd.directory_for("configuration") / "vnc.cfg"
    file.write_text('[vnc "two"]\n  vnc = "none"\n')
    assert_unobservable(vms.with_graphics(TcpGraphics(), arguments=["-readconfig", str(file)]).start())


@pytest.mark.parametrize("listens_on", ["TCP", "a unix socket"])
def test_a_viewer_that_libvirt_passes_to_a_server_with_a_listener_is_counted(
    vms: VirtualMachines, viewers: ViewerPool, listens_on: str
) -> None:
    """As virt-manager connects, by openGraphicsFD."""
    machine = (vms.with_graphics(TcpGraphics()) if listens_on == "TCP" else vms.new()).start()
    with Pair(machine) as pair:
        pair.start()
        viewers.adopt(Viewer(SocketTransport(machine.open_graphics()))).handshake()
        viewers.establish(machine.address)
        pair.wait_sessions(2)
        pair.agent.kill()
        pair.agent.start()
        pair.wait_observed()
        assert pair.sessions == 2
        viewers.close_all()
        pair.wait_sessions(None)


def test_a_vnc_server_with_the_port_of_the_spice_server_at_another_address_is_counted(
    vms: VirtualMachines, viewers: ViewerPool, port: int
) -> None:
    machine = vms.with_graphics(SpiceGraphics(port=port), arguments=["-vnc", f"127.0.0.2:{port - 5900}"]).start()
    with Pair(machine) as pair:
        pair.start()
        viewers.establish(TcpAddress(port, "127.0.0.2"))
        pair.wait_sessions(1)
        with SpiceViewer.establish(TcpAddress(port), INPUTS):
            pair.wait_shows(SPICE, 1)
            assert pair.sessions == 1
            viewers.close_all()
            pair.wait_sessions(None)
            assert pair.shows(SPICE) == 1


def test_a_server_that_connects_to_its_viewer_is_never_observed(vms: VirtualMachines, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert_unobservable(vms.with_graphics(None, arguments=["-vnc", f"127.0.0.1:{port},reverse=on"]).start())


def test_query_never_makes_a_start_with_a_tcp_listener_a_lower_bound(vms: VirtualMachines, viewers: ViewerPool) -> None:
    machine = vms.with_graphics(TcpGraphics()).start()
    machine.destroy()
    with Pair(machine, agent=["--query=never"]) as pair:
        pair.start()
        machine.start()
        viewers.establish(machine.address)
        wait_reason(pair, "LOWER_BOUND")
        pair.wait_sessions(1)
        assert accuracy(pair) == "LOWER_BOUND"
        assert int(pair.endpoint()["counters"].get("queries", 0)) == 0


def test_a_name_that_is_not_defined_is_not_observed_and_the_log_names_those_that_are(vm: VirtualMachine) -> None:
    with Pair(vm, agent=[f"--domain={vm.name}x"]) as pair:
        pair.handler.start()
        pair.agent.start()
        wait_reason(pair, "DOMAIN_NOT_DEFINED")
        line = pair.agent.wait_for_log(f"libvirt has no domain {vm.name}x; it has ")
        assert vm.name in line.split("it has", 1)[1]


def test_a_domain_that_is_renamed_is_not_observed_under_its_old_name(vm: VirtualMachine, viewers: ViewerPool) -> None:
    """It may run and have viewers under its new one."""
    with Pair(vm) as pair:
        pair.start()
        vm.destroy()
        vm.rename(f"{vm.name}-renamed")
        vm.start()
        viewers.establish(vm.address)
        wait_reason(pair, "DOMAIN_NOT_DEFINED")
        pair.agent.wait_for_log(f"it has {vm.name}")


def test_a_libvirt_that_ends_after_its_domain_leaves_no_session_and_one_that_is_back_is_asked(
    own: PrivateLibvirt, viewers: ViewerPool
) -> None:
    """As in the source pod of a migration. The domain has no name: that is how the agent knows a launcher pod."""
    machine = VirtualMachines(own).new().start()
    viewers.establish(machine.address)
    with Pair(machine, named=False) as pair:
        pair.start()
        pair.wait_sessions(1)
        machine.destroy()
        pair.wait_sessions(None)
        own.kill()
        wait_reason(pair, "NO_DOMAIN")
        assert pair.summary()["observed"]
        own.start()
        machine.start()
        viewers.establish(machine.address)
        pair.wait_sessions(1)
        own.kill()
        wait_reason(pair, "LIBVIRT_UNREACHABLE")
        assert pair.sessions == 1
