"""Live migrations between two nodes by the real KubeVirt, with a viewer that is cut off and dials again at once."""

import time

import pytest

from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.vmis import seen, told
from tests.cluster.cluster import Cluster
from tests.kubevirt.machines import Machine, Machines
from tests.kubevirt.persistent import PersistentViewer

# Longer than every delay of the publisher, so that a wrong value would be written and seen.
PAUSE = 1.5


@pytest.fixture
def machine(machines: Machines) -> Machine:
    """A VM that may run on either node."""
    return machines.start(node=None)


def running(machine: Machine) -> int:
    """Its pods that have not ended: the source's remains for 8 s, in which no viewer may be counted twice."""
    return sum(pod["status"]["phase"] == "Running" for pod in machine.pods())


def test_a_viewer_follows_a_migration(cluster: Cluster, machine: Machine) -> None:
    """The number stays 1: never absent if the viewer is back within a second, never 2, and 0 after it has left."""
    with PersistentViewer(cluster.kubeconfig, machine.vmi) as viewer:
        machine.vmi.wait_told(seen(1))
        source = machine.node
        with machine.vmi.record_companion() as versions, Sampler(machine.vmi.told) as samples:
            machine.migrate()
            wait_until(lambda: len(viewer.gaps), lambda count: count > 0, what="the viewer is back")
            machine.vmi.wait_told(seen(1))
            wait_until(
                lambda: running(machine), lambda count: count == 1, what="the source's pod has ended", timeout=60
            )
            time.sleep(PAUSE)
        assert machine.node != source
        numbers = {value[0] for value in [*samples.values, *versions.values(told)] if value is not None}
        absent = {None} if viewer.may_be_absent(samples.longest_gap) else set()
        assert numbers <= {1} | absent, (viewer.gaps, str(samples))
        assert machine.vmi.told() == seen(1)
    machine.vmi.wait_told(seen(0))


def test_a_migration_that_nobody_watches_stays_absent(machine: Machine) -> None:
    """And a viewer that connects afterwards is counted on the target."""
    machine.vmi.wait_told(seen(0))
    with Sampler(machine.vmi.told) as samples:
        machine.migrate()
        machine.vmi.wait_told(seen(0))
    assert {value[0] for value in samples.values if value is not None} == {None}
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
