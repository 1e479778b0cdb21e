"""The node's handler starts, ends and is replaced: VMs start and end as before, and no number is ever wrong."""

import pytest

from testbed.pool import ViewerPool
from testbed.sampler import Sampler
from tests.apiserver.vmis import seen, told
from tests.node.installation import Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.launcher.shape import IDLE
from tests.node.place import Ability

# The agent dials again within 3 s of the handler's return, after the handler's own start.
TIMEOUT = 60.0


def test_a_new_handler_takes_over_with_viewers_connected(
    kubevirt: KubeVirt, installation: Installation, viewers: ViewerPool
) -> None:
    """An upgrade: the number is there at each moment and in each version of the object, and is updated afterwards."""
    machine = kubevirt.start()
    viewers.establish(machine.display)
    machine.vmi.wait_told(seen(1))
    before = installation.handler.uid
    with machine.vmi.record_companion() as versions, Sampler(machine.vmi.told) as samples:
        installation.restart()
        assert installation.handler.uid != before
        viewers.establish(machine.display)
        machine.vmi.wait_told(seen(2), timeout=TIMEOUT)
    assert samples.values == [seen(1), seen(2)], str(samples)
    assert versions.values(told) == [seen(1), seen(2)]


def test_without_a_handler_vms_run_and_the_next_one_finds_them(
    kubevirt: KubeVirt, installation: Installation, viewers: ViewerPool
) -> None:
    """The published value stays, whatever happens; a VM that was started in the meantime is counted afterwards."""
    before = kubevirt.start("before")
    leaves = viewers.establish(before.display)
    before.vmi.wait_told(seen(1))
    installation.remove_handler()

    meanwhile = kubevirt.start("meanwhile")
    ends = kubevirt.start("ends", command=IDLE)
    ends.launcher.wait_started()
    kubevirt.stop(ends)
    viewers.establish(meanwhile.display)
    leaves.close()
    viewers.establish(before.display)
    viewers.establish(before.display)
    assert before.vmi.told() == seen(1)
    assert meanwhile.vmi.told() is None

    with before.vmi.record_companion() as versions:
        installation.apply()
        before.vmi.wait_told(seen(2), timeout=TIMEOUT)
        meanwhile.vmi.wait_told(seen(1), timeout=TIMEOUT)
    assert versions.values(told) == [seen(1), seen(2)]
    assert before.launcher.restarts() == (0, 0)
    assert meanwhile.launcher.restarts() == (0, 0)


@pytest.mark.needs(Ability.POWER)
def test_a_node_that_loses_its_power_comes_back(
    kubevirt: KubeVirt, installation: Installation, viewers: ViewerPool
) -> None:
    """While it is down nothing changes. Afterwards the former VM is marked as unknown, and a new one is counted."""
    machine = kubevirt.start("lost")
    viewers.establish(machine.display)
    machine.vmi.wait_told(seen(1))
    machine.launcher.node.stop()
    assert machine.vmi.told() == seen(1)
    machine.launcher.node.start()
    installation.wait_ready()

    new = kubevirt.start("new")
    viewers.establish(new.display)
    new.vmi.wait_told(seen(1), timeout=TIMEOUT)

    machine.vmi.wait_told((1, "Unknown", "False", "NoAgent"), timeout=TIMEOUT)
    machine.vmi.delete()
    new.vmi.wait_told(seen(1))
