"""libvirt is killed, restarted, frozen, or late, while viewers stay, go and come. Never a wrong 0."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from testbed.libvirtd import PrivateLibvirt
from testbed.pool import ViewerPool
from testbed.promises import SHOWN_WITHIN
from testbed.vm import VirtualMachine, VirtualMachines
from tests.libvirt.pair import Pair


@pytest.fixture
def own(new_libvirtd: Callable[[], PrivateLibvirt]) -> PrivateLibvirt:
    return new_libvirtd()


@pytest.fixture
def machine(own: PrivateLibvirt) -> VirtualMachine:
    return VirtualMachines(own).new().start()


@pytest.fixture
def pair(machine: VirtualMachine) -> Iterator[Pair]:
    with Pair(machine) as both:
        yield both.start()


def test_viewers_that_stay_go_and_come_while_libvirt_is_away_are_right_afterwards(
    pair: Pair, own: PrivateLibvirt, viewers: ViewerPool
) -> None:
    """Events of the gap are lost; the agent asks QEMU."""
    stays = viewers.establish(pair.machine.address)
    goes = viewers.establish(pair.machine.address)
    pair.wait_sessions(2)
    with pair.sample() as sampler:
        own.kill()
        pair.wait_unknown()
        goes.close()
        own.start()
        pair.wait_observed()
        pair.wait_sessions(1, timeout=SHOWN_WITHIN)
        own.kill()
        pair.wait_unknown()
        viewers.establish(pair.machine.address)
        viewers.establish(pair.machine.address)
        own.start()
        pair.wait_observed()
        pair.wait_sessions(3, timeout=SHOWN_WITHIN)
    assert None not in sampler.values, str(sampler)
    stays.close()
    pair.wait_sessions(2)
    viewers.close_all()
    pair.wait_sessions(None)


def test_a_qemu_that_died_while_libvirt_was_away_has_no_sessions(
    pair: Pair, own: PrivateLibvirt, viewers: ViewerPool
) -> None:
    """libvirt reports no STOPPED: the agent compares the listed domains with those of before."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    (qemu,) = own.qemu_pids()
    own.kill()
    pair.wait_unknown()
    assert pair.sessions == 1
    os.kill(qemu, signal.SIGKILL)
    own.start()
    pair.wait_sessions(None)
    pair.wait_observed()


def test_a_frozen_libvirt_makes_the_value_unknown_and_thawed_it_is_right(
    pair: Pair, own: PrivateLibvirt, viewers: ViewerPool
) -> None:
    """Only the keepalive detects it: no connection breaks."""
    goes = viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    with pair.sample() as sampler:
        own.freeze()
        pair.wait_unknown()
        viewers.establish(pair.machine.address)
        viewers.establish(pair.machine.address)
        goes.close()
        own.thaw()
        pair.wait_observed()
        pair.wait_sessions(2, timeout=SHOWN_WITHIN)
    assert None not in sampler.values, str(sampler)


def test_a_frozen_libvirt_does_not_freeze_the_stream(pair: Pair, own: PrivateLibvirt) -> None:
    """The agent still sends heartbeats, and reports that it cannot observe."""
    own.freeze()
    status = pair.wait_unknown()
    assert status["endpoints"][0]["state"] == "ENDPOINT_STATE_REPORTING"
    assert status["endpoints"][0]["observation"]["reason"] == "OBSERVATION_REASON_LIBVIRT_UNREACHABLE"
    assert pair.agent.stop() == 0
    own.thaw()


def test_the_agent_waits_for_a_libvirt_that_is_late(
    machine: VirtualMachine, own: PrivateLibvirt, viewers: ViewerPool
) -> None:
    """A launcher pod's containers start before its libvirt."""
    own.kill()
    pair = Pair(machine)
    with pair:
        pair.handler.start()
        pair.agent.start()
        pair.wait_unknown()
        own.start()
        pair.wait_observed()
        viewers.establish(machine.address)
        pair.wait_sessions(1)
