"""Programs die, hang and come back while USB devices are redirected and consoles are open: never a wrong 0."""

import signal
from collections.abc import Callable, Iterator

import pytest

from testbed.clients import ConsoleClient
from testbed.libvirtd import PrivateLibvirt
from testbed.processes import ManagedProcess
from testbed.usbredir import UsbClient
from testbed.vm import VirtualMachine, VirtualMachines
from tests.libvirt.pair import CONSOLE, USB, Pair
from tests.libvirt.test_polled_services import POLL, wait_observed, wait_polls, wait_reason

#: Seconds within which a number is right after the last fault has ended.
_PROMISE = 15.0


@pytest.fixture
def own(new_libvirtd: Callable[[], PrivateLibvirt]) -> PrivateLibvirt:
    return new_libvirtd()


@pytest.fixture
def machine(own: PrivateLibvirt) -> VirtualMachine:
    return VirtualMachines(own).with_ports().start(paused=False)


@pytest.fixture
def pair(machine: VirtualMachine) -> Iterator[Pair]:
    with Pair(machine, handler=POLL) as both:
        both.start()
        wait_observed(both)
        yield both


def wait_unobserved(pair: Pair, service: str = "USB_REDIRECTION") -> None:
    pair.wait_service(
        service, lambda seen: not seen.get("observation", {}).get("observed"), f"{service} is not observed"
    )


def test_what_changes_while_libvirt_is_away_is_right_afterwards(pair: Pair, own: PrivateLibvirt) -> None:
    """The last known numbers stay, and are marked as unknown."""
    stays, goes = (UsbClient.redirect(pair.machine.slot(number)) for number in range(2))
    console = ConsoleClient.connect(pair.machine.console)
    pair.wait_shows(USB, 2)
    pair.wait_shows(CONSOLE, 1)
    with pair.sample(USB) as devices, pair.sample(CONSOLE) as consoles:
        own.kill()
        wait_unobserved(pair)
        wait_unobserved(pair, "SERIAL_CONSOLE")
        goes.close()
        own.start()
        wait_observed(pair)
        pair.wait_shows(USB, 1, timeout=_PROMISE)
    assert devices.values == [2, 1], str(devices)
    assert consoles.values == [1], str(consoles)
    console.close()
    stays.close()
    pair.wait_shows(CONSOLE, None, timeout=_PROMISE)
    pair.wait_shows(USB, None, timeout=_PROMISE)


@pytest.mark.parametrize("end", [VirtualMachine.destroy, VirtualMachine.kill_qemu], ids=["destroyed", "QEMU SIGKILLed"])
def test_the_end_of_the_vm_ends_all_sessions_and_its_next_start_is_polled(
    pair: Pair, end: Callable[[VirtualMachine], None]
) -> None:
    devices = [UsbClient.redirect(pair.machine.slot(number)) for number in range(3)]
    console = ConsoleClient.connect(pair.machine.console)
    pair.wait_shows(USB, 3)
    pair.wait_shows(CONSOLE, 1)
    end(pair.machine)
    pair.wait_shows(USB, None, timeout=_PROMISE)
    pair.wait_shows(CONSOLE, None, timeout=_PROMISE)
    for client in (*devices, console):
        client.close()
    pair.machine.start(paused=False)
    with UsbClient.redirect(pair.machine.slot(0)):
        pair.wait_shows(USB, 1, timeout=_PROMISE)
        wait_observed(pair)


def test_a_qemu_that_hangs_keeps_the_numbers_and_is_not_observed(pair: Pair) -> None:
    """A poll is in flight, or is the next one: it ends by its own limit, and no other is sent meanwhile."""
    with UsbClient.redirect(pair.machine.slot(0)), ConsoleClient.connect(pair.machine.console):
        pair.wait_shows(USB, 1)
        pair.wait_shows(CONSOLE, 1)
        with pair.sample(USB) as devices, pair.sample(CONSOLE) as consoles:
            pair.machine.signal_qemu(signal.SIGSTOP)
            try:
                wait_unobserved(pair)
                wait_unobserved(pair, "SERIAL_CONSOLE")
            finally:
                pair.machine.signal_qemu(signal.SIGCONT)
            wait_observed(pair)
            wait_polls(pair)
        assert devices.values == [1], str(devices)
        assert consoles.values == [1], str(consoles)
        assert int(pair.agent_status()["counters"].get("poll_failures", 0)) >= 1
    pair.wait_shows(USB, None, timeout=_PROMISE)


def test_a_frozen_libvirt_makes_the_numbers_unknown_and_thawed_they_are_right(pair: Pair, own: PrivateLibvirt) -> None:
    console = ConsoleClient.connect(pair.machine.console)
    pair.wait_shows(CONSOLE, 1)
    with pair.sample(CONSOLE) as sampler:
        own.freeze()
        wait_unobserved(pair, "SERIAL_CONSOLE")
        own.thaw()
        wait_observed(pair)
        wait_polls(pair)
    assert sampler.values == [1], str(sampler)
    console.close()
    pair.wait_shows(CONSOLE, None, timeout=_PROMISE)


def test_a_restarted_agent_does_not_show_zero_before_it_has_polled(pair: Pair) -> None:
    with UsbClient.redirect(pair.machine.slot(0)), ConsoleClient.connect(pair.machine.console):
        pair.wait_shows(USB, 1)
        pair.wait_shows(CONSOLE, 1)
        with pair.sample(USB) as devices, pair.sample(CONSOLE) as consoles:
            for _ in range(3):
                pair.agent.restart()
                wait_observed(pair)
                wait_polls(pair, 1)
        assert devices.values == [1], str(devices)
        assert consoles.values == [1], str(consoles)
    pair.wait_shows(USB, None, timeout=_PROMISE)


def test_a_handler_with_other_flags_reaches_an_agent_that_runs(pair: Pair) -> None:
    """As an upgrade of the DaemonSet does: what is no longer polled is no longer shown, and the agent is the same."""
    instance = pair.agent_status()["instance"]
    with UsbClient.redirect(pair.machine.slot(0)), ConsoleClient.connect(pair.machine.console):
        pair.wait_shows(USB, 1)
        pair.wait_shows(CONSOLE, 1)
        pair.handler.stop()
        others = [argument for argument in pair.handler.argv if not argument.startswith("--poll")]
        with ManagedProcess([*others, "--poll=serial-console=2s"], log=pair.directory / "other-handler.log"):
            wait_reason(pair, "USB_REDIRECTION", "NOT_WATCHED")
            wait_polls(pair)
            assert pair.shows(CONSOLE) == 1
        pair.handler.start()
        wait_observed(pair)
        pair.wait_shows(USB, 1)
    assert pair.agent_status()["instance"] == instance
