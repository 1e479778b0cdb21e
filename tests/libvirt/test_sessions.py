"""Viewers come, share and go; the VMI document follows them. Real QEMU, real viewers, both programs."""

from collections.abc import Callable, Iterator

import pytest

from testbed.domains import TcpGraphics
from testbed.pool import ViewerPool
from testbed.rfb import HandshakeRefusedError, Viewer
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.libvirt.pair import Pair


@pytest.fixture
def pair(vm: VirtualMachine) -> Iterator[Pair]:
    with Pair(vm) as both:
        yield both.start()


def test_the_value_follows_shared_viewers_up_and_down(pair: Pair, viewers: ViewerPool) -> None:
    """Absent, 1, 2, 1, absent: at zero the field is absent, not 0."""
    assert pair.sessions is None
    first = viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    second = viewers.establish(pair.machine.address)
    pair.wait_sessions(2)
    first.close()
    pair.wait_sessions(1)
    second.close()
    pair.wait_sessions(None)
    assert "vncSessions" not in pair.document.read_text()


def test_each_number_of_viewers_is_exact_and_the_33rd_is_not_counted(pair: Pair, viewers: ViewerPool) -> None:
    """QEMU serves 32; a client that it rejects is not a session."""
    for number in range(1, 33):
        viewers.establish(pair.machine.address)
        if number in (1, 2, 31):
            pair.wait_sessions(number)
    pair.wait_sessions(32)
    with pytest.raises(HandshakeRefusedError):
        viewers.establish(pair.machine.address)
    with pair.sample() as sampler:
        pair.wait_pending(0)
    assert sampler.values == [32], str(sampler)
    viewers.close_all()
    pair.wait_sessions(None)


def test_every_number_in_between_is_exact(pair: Pair, viewers: ViewerPool) -> None:
    """The agent's own table, which is not rate limited, has each number from 1 to 32, and is exact on the way back."""
    opened = []
    for number in range(1, 33):
        opened.append(viewers.establish(pair.machine.address))
        _wait_agent_sessions(pair, number)
    # QEMU notices an idle client's end up to a second late, so they are not checked one by one.
    for number in (31, 30, 20, 9, 1, 0):
        while len(opened) > number:
            opened.pop().close()
        _wait_agent_sessions(pair, number)


def test_a_client_that_never_finishes_its_handshake_is_pending_and_not_a_session(
    pair: Pair, viewers: ViewerPool
) -> None:
    """A port scan, and a client that stops after the protocol version."""
    viewers.connect(pair.machine.address)
    half = viewers.connect(pair.machine.address)
    half.exchange_version()
    pair.wait_pending(2)
    assert pair.sessions is None
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    half.close()
    pair.wait_pending(1)
    assert pair.sessions == 1
    viewers.close_all()
    pair.wait_sessions(None)


@pytest.mark.parametrize("end", [Viewer.close, Viewer.abort], ids=["closed", "reset"])
def test_tcp_viewers_are_identified_and_exact(
    vms: VirtualMachines, viewers: ViewerPool, end: Callable[[Viewer], None]
) -> None:
    """The debug APIs show their peers, and no other API does."""
    machine = vms.with_graphics(TcpGraphics()).start()
    with Pair(machine) as pair:
        pair.start()
        viewer = viewers.establish(machine.address)
        scan = viewers.connect(machine.address)
        pair.wait_sessions(1)
        pair.wait_pending(1)
        (session,) = pair.endpoint()["services"][0]["identified"]
        assert session["peer_address"] == "127.0.0.1"
        assert session["transport"] == "TRANSPORT_TCP"
        assert "127.0.0.1" not in pair.document.read_text()
        end(viewer)
        pair.wait_sessions(None)
        assert pair.summary()["accuracy"] == "ACCURACY_EXACT"
        scan.close()
        pair.wait_pending(0)


def test_websocket_viewers_are_counted(vms: VirtualMachines, viewers: ViewerPool) -> None:
    """A browser's connection, next to a plain one."""
    machine = vms.with_graphics(TcpGraphics(websocket=True)).start()
    with Pair(machine) as pair:
        pair.start()
        browser = viewers.establish(machine.websocket_address)
        pair.wait_sessions(1)
        viewers.establish(machine.address)
        pair.wait_sessions(2)
        browser.close()
        pair.wait_sessions(1)


def test_a_wrong_password_is_not_a_session(vms: VirtualMachines, viewers: ViewerPool) -> None:
    """The right one makes a session."""
    machine = vms.with_graphics(TcpGraphics(password="secret")).start()  # noqa: S106 - of a VM that lives a second
    with Pair(machine) as pair:
        pair.start()
        with pair.sample() as sampler:
            with pytest.raises(HandshakeRefusedError):
                viewers.establish(machine.address, password="wrong")  # noqa: S106
            pair.wait_pending(0)
            viewers.establish(machine.address, password="secret")  # noqa: S106
            pair.wait_sessions(1)
    assert sampler.values == [None, 1], str(sampler)


def test_a_vm_without_graphics_is_observed_and_has_nobody(vms: VirtualMachines) -> None:
    """KubeVirt's autoattachGraphicsDevice: false."""
    machine = vms.with_graphics(None).start()
    with Pair(machine) as pair:
        pair.start()
        assert pair.sessions is None
        assert pair.summary()["observed"] is True


def test_an_existing_document_keeps_all_that_is_not_ours(vm: VirtualMachine, viewers: ViewerPool) -> None:
    """The document belongs to another program; only one field of it is ours."""
    pair = Pair(vm)
    pair.document.parent.mkdir()
    pair.document.write_text('{"spec": {"domain": {}}, "status": {"phase": "Running", "serviceStatus": {"other": 7}}}')
    with pair:
        pair.start()
        viewers.establish(vm.address)
        pair.wait_sessions(1)
        viewers.close_all()
        pair.wait_sessions(None)
        left = pair.document.read_text()
    assert '"phase": "Running"' in left
    assert '"other": 7' in left
    assert '"domain": {}' in left


def _wait_agent_sessions(pair: Pair, expected: int) -> None:
    def exactly() -> bool:
        vnc = pair.service("VNC")
        return bool(vnc.get("sessions", 0) == expected and vnc["accuracy"] == "ACCURACY_EXACT")

    wait_until(exactly, what=f"the agent sees exactly {expected}", interval=0.05)
