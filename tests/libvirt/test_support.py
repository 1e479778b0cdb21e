"""The testbed on real parts: the events that libvirt reports for each kind of viewer, and that nothing is left over.

These are also the facts about QEMU and libvirt that the agent relies on: if a new version of either behaves
differently, these tests fail first.
"""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from testbed.addresses import TcpAddress
from testbed.commands import User
from testbed.domains import TcpGraphics
from testbed.event_log import CONNECT, DISCONNECT, INITIALIZE, Endpoint, EventLog
from testbed.guardian import processes_of
from testbed.kubevirt_proxy import VncProxy
from testbed.libvirtd import PrivateLibvirt
from testbed.pool import ViewerPool
from testbed.processes import ManagedProcess
from testbed.rfb import HandshakeRefusedError, Viewer
from testbed.storm import Storm
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until

IPV4, UNIX = 0, 2
PASSWORD = "s3cret"  # noqa: S105 - of a VM that lives for a second
# Seconds in which a daemon that was not frozen would have reported everything many times over.
QUIET = 0.5

NewLibvirt = Callable[[], PrivateLibvirt]


# --- the events of a viewer -------------------------------------------------------------------------------------------


def test_a_unix_viewer_connects_initializes_disconnects(vm: VirtualMachine, events: EventLog) -> None:
    """A viewer on KubeVirt's socket is a session from INITIALIZE on; its events do not identify it."""
    with Viewer.establish(vm.address) as viewer:
        events.wait_for(CONNECT, INITIALIZE)
        assert viewer.connected
    seen = events.wait_for(CONNECT, INITIALIZE, DISCONNECT)
    _, _, path = str(vm.address).partition(":")
    assert {event.local for event in seen} == {Endpoint(UNIX, "", path)}
    assert {event.remote for event in seen} == {Endpoint(UNIX, "", "")}
    assert {event.auth_scheme for event in seen} == {"none"}


def test_a_tcp_viewer_is_told_by_host_and_port(vms: VirtualMachines) -> None:
    """Over TCP every event names the client's exact address."""
    vm = vms.with_graphics(TcpGraphics()).start()
    assert isinstance(vm.address, TcpAddress)
    with EventLog(vm.libvirtd.uri, vm.name) as events:
        with Viewer.establish(vm.address) as viewer:
            remote = viewer.local_address
        seen = events.wait_for(CONNECT, INITIALIZE, DISCONNECT)
    assert {(event.remote.node, int(event.remote.service)) for event in seen} == {remote}
    assert {event.local for event in seen} == {Endpoint(IPV4, "127.0.0.1", str(vm.address.port))}


def test_a_websocket_viewer_is_told_with_the_vnc_port(vms: VirtualMachines) -> None:
    """The local end is the VNC server's port although the client came through the websocket's."""
    vm = vms.with_graphics(TcpGraphics(websocket=True)).start()
    assert isinstance(vm.address, TcpAddress)
    with EventLog(vm.libvirtd.uri, vm.name) as events:
        with Viewer.establish(vm.websocket_address) as viewer:
            remote = viewer.local_address
        seen = events.wait_for(CONNECT, INITIALIZE, DISCONNECT)
    assert {(event.remote.node, int(event.remote.service)) for event in seen} == {remote}
    assert {event.local for event in seen} == {Endpoint(IPV4, "127.0.0.1", str(vm.address.port))}
    assert vm.websocket_address.port != vm.address.port


def test_the_right_password_makes_a_session(vms: VirtualMachines) -> None:
    """CONNECT already contains the scheme `vnc`, before the client has sent anything."""
    vm = vms.with_graphics(TcpGraphics(password=PASSWORD)).start()
    with EventLog(vm.libvirtd.uri, vm.name) as events:
        with Viewer.establish(vm.address, password=PASSWORD):
            seen = events.wait_for(CONNECT, INITIALIZE)
        assert {event.auth_scheme for event in seen} == {"vnc"}
        events.wait_for(CONNECT, INITIALIZE, DISCONNECT)


def test_a_wrong_password_makes_none(vms: VirtualMachines) -> None:
    """A client that fails to authenticate connects and disconnects, and never initializes."""
    vm = vms.with_graphics(TcpGraphics(password=PASSWORD)).start()
    with EventLog(vm.libvirtd.uri, vm.name) as events:
        with pytest.raises(HandshakeRefusedError, match="Authentication failed"):
            Viewer.establish(vm.address, password=PASSWORD[::-1])
        events.wait_for(CONNECT, DISCONNECT)


def _nothing(viewer: Viewer) -> None:
    """A port scan."""


def _version(viewer: Viewer) -> None:
    viewer.exchange_version()


def _security(viewer: Viewer) -> None:
    viewer.exchange_version()
    viewer.authenticate()


@pytest.mark.parametrize("steps", [_nothing, _version, _security])
def test_an_unfinished_viewer_is_no_session(
    vm: VirtualMachine, events: EventLog, steps: Callable[[Viewer], None]
) -> None:
    """At any stage: without ClientInit there are only CONNECT and DISCONNECT."""
    with Viewer.connect(vm.address) as viewer:
        steps(viewer)
        events.wait_for(CONNECT)
    events.wait_for(CONNECT, DISCONNECT)


def test_a_cut_connection_disconnects_too(vms: VirtualMachines) -> None:
    """A client whose TCP connection is reset gives the same events as one that closes."""
    vm = vms.with_graphics(TcpGraphics()).start()
    with EventLog(vm.libvirtd.uri, vm.name) as events:
        Viewer.establish(vm.address).abort()
        events.wait_for(CONNECT, INITIALIZE, DISCONNECT)


def test_a_viewer_that_looks_at_the_picture_is_read(vm: VirtualMachine, viewers: ViewerPool) -> None:
    """A pool keeps reading, so that a picture of a megabyte does not stay in QEMU, and still notices the end."""
    viewer = viewers.establish(vm.address)
    for _ in range(20):
        viewer.request_update()
    wait_until(lambda: viewers.established, lambda seen: seen == [viewer], what="it is still connected")
    vm.destroy()
    wait_until(lambda: viewers.established, lambda seen: seen == [], what="it has noticed the end")


# --- takeovers, limits, storms ----------------------------------------------------------------------------------------


def test_a_takeover_may_disconnect_the_old_viewer_before_the_new_one_begins(
    vm: VirtualMachine, events: EventLog
) -> None:
    """KubeVirt's first order: finished viewers dip to 0, connected ones do not."""
    with VncProxy(vm.address) as proxy:
        proxy.open()
        events.wait_for(CONNECT, INITIALIZE)
        new = proxy.dial()
        events.wait_for(CONNECT, INITIALIZE, CONNECT, DISCONNECT)
        new.handshake()
        events.wait_for(CONNECT, INITIALIZE, CONNECT, DISCONNECT, INITIALIZE)
        assert new.connected


def test_a_takeover_may_initialize_the_new_viewer_before_the_old_one_is_out(
    vm: VirtualMachine, events: EventLog
) -> None:
    """KubeVirt's second order: for some milliseconds there are two."""
    with VncProxy(vm.address) as proxy:
        old = proxy.open()
        new = proxy.take_over()
        events.wait_for(CONNECT, INITIALIZE, CONNECT, INITIALIZE, DISCONNECT)
        assert not old.connected
        assert new.connected


def test_the_33rd_viewer_is_refused(vm: VirtualMachine, events: EventLog, viewers: ViewerPool) -> None:
    """QEMU serves 32 and ends the next one's handshake; libvirt reports CONNECT and DISCONNECT."""
    for _ in range(32):
        viewers.establish(vm.address)
    with pytest.raises(HandshakeRefusedError):
        viewers.establish(vm.address)
    wait_until(
        lambda: Counter(events.phases), {CONNECT: 33, INITIALIZE: 32, DISCONNECT: 1}.__eq__, what="one is refused"
    )
    assert len(viewers.established) == 32


def test_a_storm_ends_with_the_number_it_says(vm: VirtualMachine, events: EventLog, tmp_path: Path) -> None:
    """No event is lost: libvirt's, QEMU's and the storm's own numbers agree after many viewers."""
    with Storm(vm.address, seconds=3, left=7, seed=1, log=tmp_path / "storm.log") as storm:
        result = storm.result()
        assert result.left == 7
        assert result.connects > 30
        expected = {CONNECT: result.connects, INITIALIZE: result.sessions, DISCONNECT: result.connects - 7}
        wait_until(lambda: Counter(events.phases), expected.__eq__, what=f"libvirt says {expected}")
        assert vm.vnc_clients() == 7
        storm.release()
        wait_until(lambda: events.connected, lambda connected: connected == 0, what="libvirt says 0")


# --- the VM's own life ------------------------------------------------------------------------------------------------


def test_a_killed_qemu_disconnects_nobody(vm: VirtualMachine, events: EventLog) -> None:
    """Only STOPPED reports the viewers' end, here with the detail "crashed"."""
    with Viewer.establish(vm.address) as viewer:
        # What QEMU has not yet written to its monitor when it is killed is lost.
        events.wait_for(CONNECT, INITIALIZE)
        vm.kill_qemu()
        viewer.wait_closed()
    assert events.wait_for_lifecycle(libvirt.VIR_DOMAIN_EVENT_STOPPED).detail == 5
    events.wait_for(CONNECT, INITIALIZE)


def test_a_destroyed_vm_starts_again_with_the_same_socket(vm: VirtualMachine, events: EventLog) -> None:
    """No DISCONNECT when it is destroyed; the next QEMU is another process that listens at the same place."""
    first = vm.qemu_pid
    with Viewer.establish(vm.address) as viewer:
        events.wait_for(CONNECT, INITIALIZE)
        vm.destroy()
        viewer.wait_closed()
    events.wait_for_lifecycle(libvirt.VIR_DOMAIN_EVENT_STOPPED)
    vm.start()
    assert vm.qemu_pid != first
    with Viewer.establish(vm.address):
        events.wait_for(CONNECT, INITIALIZE, CONNECT, INITIALIZE)


def test_pause_and_reset_keep_the_viewers(vms: VirtualMachines) -> None:
    """The viewers do not depend on the guest."""
    vm = vms.new().start(paused=False)
    with EventLog(vm.libvirtd.uri, vm.name) as events, Viewer.establish(vm.address) as viewer:
        vm.pause()
        assert vm.state == libvirt.VIR_DOMAIN_PAUSED
        vm.resume()
        assert vm.state == libvirt.VIR_DOMAIN_RUNNING
        vm.reset()
        wait_until(lambda: events.reboots, what="the reset is reported")
        assert viewer.connected
        assert events.phases == [CONNECT, INITIALIZE]


def test_a_vm_may_have_no_display(vms: VirtualMachines) -> None:
    """`autoattachGraphicsDevice: false`: a domain without graphics."""
    assert "<graphics" not in vms.with_graphics(None).start().xml


# --- the daemon's life ------------------------------------------------------------------------------------------------


def test_a_restarted_daemon_takes_up_its_vms(new_libvirtd: NewLibvirt) -> None:
    """The connection dies and QEMU does not; an event about an earlier viewer comes only when it leaves."""
    libvirtd = new_libvirtd()
    vm = VirtualMachines(libvirtd).new().start()
    pid = vm.qemu_pid
    with EventLog(libvirtd.uri, vm.name) as before, Viewer.establish(vm.address) as viewer:
        before.wait_for(CONNECT, INITIALIZE)
        libvirtd.restart()
        with EventLog(libvirtd.uri, vm.name) as after:
            assert vm.qemu_pid == pid
            assert viewer.connected
            viewer.close()
            after.wait_for(DISCONNECT)
    vm.destroy()
    vm.start()
    assert libvirtd.qemu_pids() == [vm.qemu_pid]


def test_a_frozen_daemon_tells_late(new_libvirtd: NewLibvirt) -> None:
    """While it is frozen viewers come and go, and libvirt reports them afterwards."""
    libvirtd = new_libvirtd()
    vm = VirtualMachines(libvirtd).new().start()
    with EventLog(libvirtd.uri, vm.name) as events:
        libvirtd.freeze()
        Viewer.establish(vm.address).close()
        time.sleep(QUIET)
        assert events.phases == []
        libvirtd.thaw()
        events.wait_for(CONNECT, INITIALIZE, DISCONNECT)


def test_a_killed_qemu_is_found_without_the_daemon(new_libvirtd: NewLibvirt) -> None:
    """What works by pid needs no response of libvirt; after its restart the VM is off."""
    libvirtd = new_libvirtd()
    vm = VirtualMachines(libvirtd).new().start()
    libvirtd.kill()
    vm.kill_qemu()
    assert libvirtd.qemu_pids() == []
    libvirtd.start()
    assert vm.state == libvirt.VIR_DOMAIN_SHUTOFF


def test_two_libvirts_know_nothing_of_each_other(libvirtd: PrivateLibvirt, new_libvirtd: NewLibvirt) -> None:
    """Each has its own sockets, VMs and ports."""
    other = new_libvirtd()
    for machines in (VirtualMachines(libvirtd), VirtualMachines(other)):
        with machines:
            one = machines.with_graphics(TcpGraphics(), name="ns_same").start()
            two = machines.with_graphics(TcpGraphics()).start()
            assert one.address != two.address
    assert libvirtd.uri != other.uri


def test_another_user_reaches_the_sockets(vm: VirtualMachine) -> None:
    """A program under test may run as another user than the daemon."""
    stranger = User(uid=vm.libvirtd.user.uid - 1, gid=vm.libvirtd.user.gid - 1).switch() if _is_root() else []
    subprocess.run(["setpriv", *stranger, "--", "test", "-w", str(vm.libvirtd.socket)], check=True)


def _is_root() -> bool:
    return User.current().uid == 0


# --- nothing is left over ---------------------------------------------------------------------------------------------


def test_a_stop_leaves_no_process_and_no_file() -> None:
    """Daemon, QEMUs and directory are gone when `stop` returns."""
    with PrivateLibvirt() as libvirtd:
        VirtualMachines(libvirtd).new().start()
        VirtualMachines(libvirtd).new().start(paused=False)
        assert len(processes_of(libvirtd.directory)) == 3
    assert processes_of(libvirtd.directory) == []
    assert not libvirtd.directory.exists()


OWNER = """
from testbed.libvirtd import PrivateLibvirt
from testbed.vm import VirtualMachines
import time
libvirtd = PrivateLibvirt()
libvirtd.start()
VirtualMachines(libvirtd).new().start()
print("directory", libvirtd.directory, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_owner_ends_everything(tmp_path: Path, end: signal.Signals) -> None:
    """Even if the test process is killed, its guardian kills the QEMUs and removes the files."""
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", OWNER]
    with ManagedProcess(argv, log=tmp_path / "owner.log", env={"PYTHONPATH": str(root)}) as owner:
        directory = Path(owner.wait_for_log("directory ").split()[1])
        assert len(processes_of(directory)) == 2
        owner.signal(end)
        owner.wait()
    wait_until(directory.exists, lambda exists: not exists, what="the guardian removes the directory")
    assert processes_of(directory) == []


def test_a_process_that_only_reads_there_is_spared(tmp_path: Path) -> None:
    """The guardian kills libvirt's programs only, not a pager that a user has open on a log."""
    with PrivateLibvirt() as libvirtd:
        pager = ManagedProcess(["tail", "-f", libvirtd.process.log], log=tmp_path / "pager.log").start()
    assert pager.running
    pager.kill()


def test_the_second_start_asks_qemu_nothing(tmp_path: Path) -> None:
    """The next libvirt finds what the first one learned of QEMU, and starts in a moment."""
    with PrivateLibvirt(cache_root=tmp_path):
        pass
    second = PrivateLibvirt(cache_root=tmp_path)
    prepared = time.time()
    with second:
        answers = list((second.directory / "cache").rglob("capabilities/*.xml"))
        assert answers
        assert all(answer.stat().st_mtime <= prepared for answer in answers)
