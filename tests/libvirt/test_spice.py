"""SPICE viewers of a plain libvirt host: counted from events, one for all channels of a viewer."""

from collections.abc import Iterator

import pytest

from testbed.promises import SHOWN_WITHIN
from testbed.spice import CURSOR, INPUTS, SpiceViewer
from testbed.truth import spice_channels
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.libvirt.pair import SPICE, Pair


@pytest.fixture(params=["tcp", "unix"])
def machine(request: pytest.FixtureRequest, vms: VirtualMachines) -> VirtualMachine:
    return vms.with_spice(unix=request.param == "unix").start()


@pytest.fixture
def pair(machine: VirtualMachine) -> Iterator[Pair]:
    with Pair(machine) as both:
        both.start()
        wait_observed(both)
        yield both


def wait_observed(pair: Pair) -> None:
    pair.wait_service("SPICE", lambda seen: seen.get("observation", {}).get("observed"), "SPICE is observed")


def test_a_viewer_is_one_session_whatever_channels_it_has(pair: Pair) -> None:
    assert pair.shows(SPICE) is None
    with SpiceViewer.establish(pair.machine.address, INPUTS) as viewer, pair.sample(SPICE) as sampler:
        pair.wait_shows(SPICE, 1, timeout=SHOWN_WITHIN)
        viewer.open(CURSOR).close()
        assert viewer.connected
    pair.wait_shows(SPICE, None, timeout=SHOWN_WITHIN)
    assert set(sampler.values) <= {None, 1}, str(sampler)
    assert pair.sessions is None


def test_an_unfinished_client_is_pending(pair: Pair) -> None:
    """A port scan."""
    with pair.sample(SPICE) as sampler, SpiceViewer(pair.machine.address) as scan:
        scan.dial()
        pair.wait_service("SPICE", lambda seen: seen.get("pending", 0) == 1, "one is pending")
    pair.wait_service("SPICE", lambda seen: seen.get("pending", 0) == 0, "none is pending")
    assert sampler.values == [None], str(sampler)


def test_a_takeover_does_not_blink(pair: Pair) -> None:
    """SPICE throws the old viewer out when a new one links its main channel."""
    viewer = SpiceViewer.establish(pair.machine.address, INPUTS)
    pair.wait_shows(SPICE, 1, timeout=SHOWN_WITHIN)
    with pair.sample(SPICE) as sampler:
        for _ in range(10):
            newer = SpiceViewer.establish(pair.machine.address, INPUTS)
            viewer.channels[0].wait_closed()
            viewer.close()
            viewer = newer
        wait_until(lambda: len(spice_channels(pair.machine)), lambda count: count == 2, what="one viewer is left")
        pair.wait_service("SPICE", lambda seen: seen.get("sessions") == 1, "the agent counts one")
    assert sampler.values == [1], str(sampler)
    viewer.close()
    pair.wait_shows(SPICE, None, timeout=SHOWN_WITHIN)


def test_a_restarted_agent_finds_a_viewer(pair: Pair) -> None:
    with SpiceViewer.establish(pair.machine.address, INPUTS):
        pair.wait_shows(SPICE, 1, timeout=SHOWN_WITHIN)
        with pair.sample(SPICE) as sampler:
            pair.agent.restart()
            wait_observed(pair)
        assert sampler.values == [1], str(sampler)
    pair.wait_shows(SPICE, None, timeout=SHOWN_WITHIN)


def test_the_end_of_the_vm_ends_the_session(pair: Pair) -> None:
    with SpiceViewer.establish(pair.machine.address, INPUTS):
        pair.wait_shows(SPICE, 1, timeout=SHOWN_WITHIN)
        pair.machine.destroy()
        pair.wait_shows(SPICE, None, timeout=SHOWN_WITHIN)
    pair.machine.start()
    with SpiceViewer.establish(pair.machine.address, INPUTS):
        pair.wait_shows(SPICE, 1, timeout=SHOWN_WITHIN)


def test_the_viewers_of_a_server_for_several_are_counted_by_their_sessions(vms: VirtualMachines) -> None:
    """QEMU lists the channels with the number of their viewer's session."""
    machine = vms.with_spice(unix=False, shared=True).start()
    with SpiceViewer.establish(machine.address, INPUTS) as first, SpiceViewer.establish(machine.address, INPUTS):
        assert first.connected
        assert len({session for session, _ in spice_channels(machine)}) == 2
        with Pair(machine) as pair:
            pair.start()
            pair.wait_shows(SPICE, 2, timeout=SHOWN_WITHIN)
            first.close()
            pair.wait_shows(SPICE, 1, timeout=SHOWN_WITHIN)
