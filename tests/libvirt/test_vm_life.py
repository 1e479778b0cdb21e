"""What happens to the VM, with viewers connected: the count stays if they stay, and ends if they are cut off."""

from collections.abc import Callable, Iterator

import pytest

from testbed.pool import ViewerPool
from testbed.vm import VirtualMachine, VirtualMachines
from tests.libvirt.pair import Pair


@pytest.fixture
def pair(vm: VirtualMachine) -> Iterator[Pair]:
    with Pair(vm) as both:
        yield both.start()


def test_pause_resume_reset_and_reboot_keep_the_count(pair: Pair, viewers: ViewerPool) -> None:
    """The viewers stay connected, and the value does not move."""
    viewers.establish(pair.machine.address)
    viewers.establish(pair.machine.address)
    pair.wait_sessions(2)
    with pair.sample() as sampler:
        for step in (pair.machine.resume, pair.machine.pause, pair.machine.resume, pair.machine.reset):
            step()
        # A guest's own reboot looks the same to QEMU; there is no guest here that could do it.
        pair.machine.monitor("system_reset")
        third = viewers.establish(pair.machine.address)
        pair.wait_sessions(3)
    assert sampler.values == [2, 3], str(sampler)
    third.close()
    pair.wait_sessions(2)


@pytest.mark.parametrize("end", [VirtualMachine.destroy, VirtualMachine.kill_qemu], ids=["destroyed", "QEMU SIGKILLed"])
def test_the_end_of_the_vm_ends_all_sessions_and_its_next_start_is_counted_anew(
    pair: Pair, viewers: ViewerPool, end: Callable[[VirtualMachine], None]
) -> None:
    """There is no DISCONNECT then; STOPPED covers all of them."""
    viewers.establish(pair.machine.address)
    viewers.establish(pair.machine.address)
    pair.wait_sessions(2)
    end(pair.machine)
    pair.wait_sessions(None)
    assert pair.summary()["observed"] is True
    viewers.close_all()
    pair.machine.start()
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)


def test_a_save_ends_all_sessions_and_the_vm_that_is_restored_is_counted_anew(pair: Pair, viewers: ViewerPool) -> None:
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    pair.machine.save()
    pair.wait_sessions(None, timeout=10)
    viewers.close_all()
    pair.machine.start()
    viewers.establish(pair.machine.address)
    viewers.establish(pair.machine.address)
    pair.wait_sessions(2)


def test_the_agent_waits_for_a_vm_that_does_not_exist_yet(vms: VirtualMachines, viewers: ViewerPool) -> None:
    """A launcher pod's containers start before its VM."""
    machine = vms.new()
    with Pair(machine, named=False) as pair:
        pair.start()
        assert pair.endpoint()["observation"]["reason"] == "OBSERVATION_REASON_NO_DOMAIN"
        machine.start()
        viewers.establish(machine.address)
        pair.wait_sessions(1)


def test_since_is_kept_by_the_agent_over_a_restart_of_the_handler(pair: Pair, viewers: ViewerPool) -> None:
    """Since when a viewer is connected, as far as it can be proved."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    since = pair.summary()["since"]
    pair.handler.restart()
    pair.wait_observed()
    assert pair.summary()["since"] == since
