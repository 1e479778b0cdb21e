"""Migrations that fail, that a drain requests, or during which handlers are down or restarted."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.vmis import Told, seen, told
from tests.cluster.cluster import Cluster
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machine, Machines
from tests.kubevirt.migrations import ENDLESS_MEMORY, SLOW, SLOW_MEMORY, TIMEOUT, Migration
from tests.kubevirt.persistent import PersistentViewer

# Longer than every delay of the publisher, so that a wrong value would be written and seen.
PAUSE = 1.5


@pytest.fixture
def endless(machines: Machines) -> Machine:
    """A VM that may run on either node, and whose migrations take so long that they can be aborted."""
    return machines.start(node=None, labels=SLOW, memory=ENDLESS_MEMORY)


@contextmanager
def always_one(machine: Machine) -> Iterator[None]:
    """Each version of the companion, and each sample of it, shows 1."""
    with machine.vmi.record_companion() as versions, Sampler(machine.vmi.told) as samples:
        yield
        time.sleep(PAUSE)
    assert samples.values == [seen(1)], str(samples)
    assert versions.values(told) == [seen(1)]


@contextmanager
def changing_nothing(machine: Machine) -> Iterator[Migration]:
    """A migration that starts and fails: VM, viewer and number stay, until the viewer leaves."""
    source = machine.node
    with machine.virtctl() as virtctl:
        viewer = virtctl.view()
        machine.vmi.wait_told(seen(1))
        with always_one(machine):
            migration = machine.begin_migration()
            migration.wait_under_way()
            yield migration
        assert viewer.connected
        assert machine.node == source
    machine.vmi.wait_told(seen(0))


def test_an_aborted_migration_changes_nothing(endless: Machine) -> None:
    """The viewer stays where it is, and so does the number."""
    with changing_nothing(endless) as migration:
        migration.abort()


def test_a_migration_whose_target_dies_changes_nothing(endless: Machine) -> None:
    """The target's QEMU is killed in the middle: the VM runs on at the source, with its viewer."""
    with changing_nothing(endless) as migration:
        endless.kill_target()
        migration.wait_failed()


def may_be_too_high(value: Told) -> bool:
    """A number that is marked as unknown may be one too many: a viewer that connects during a query may count twice."""
    number, _, observed, _ = value
    return observed == "False" and number == 2


@contextmanager
def never_wrong(cluster: Cluster, machine: Machine) -> Iterator[PersistentViewer]:
    """A viewer that dials again follows the VM to another node: 1 in each sample, unless it stays away for long."""
    with PersistentViewer(cluster.kubeconfig, machine.vmi) as viewer:
        machine.vmi.wait_told(seen(1))
        source = machine.node
        with machine.vmi.record_companion() as versions, Sampler(machine.vmi.told) as samples:
            yield viewer
            wait_until(lambda: viewer.gaps, what="the viewer was cut off and is back")
            time.sleep(PAUSE)
        assert machine.node != source
        sys.stdout.write(f"{samples}; away for {viewer.gaps} s\n")
        values = [value for value in [*samples.values, *versions.values(told)] if value is not None]
        permitted = {1, None} if viewer.may_be_absent(samples.longest_gap) else {1}
        wrong = [value for value in values if value[0] not in permitted and not may_be_too_high(value)]
        assert wrong == [], (viewer.gaps, str(samples))
        machine.vmi.wait_told(seen(1), timeout=60)
    machine.vmi.wait_told(seen(0))


def test_a_viewer_follows_a_drain(cluster: Cluster, machines: Machines) -> None:
    """The node is drained, and KubeVirt migrates the VMs that can be migrated."""
    machine = machines.start(node=None, spec={"evictionStrategy": "LiveMigrate"})
    with never_wrong(cluster, machine):
        source = machine.node
        machine.evict()
        moved = "KubeVirt has migrated the VM"
        wait_until(lambda: machine.node, lambda node: node != source, what=moved, timeout=TIMEOUT)


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_viewer_follows_to_or_from_a_node_without_its_handler(
    cluster: Cluster, machines: Machines, installation: Deployment, end: str
) -> None:
    """The number stays while no handler is there to write another one, and is right when the handler is back."""
    machine = machines.start(node=None)
    with never_wrong(cluster, machine):
        nodes = [node.name for node in cluster.nodes]
        source = machine.node
        (target,) = (node for node in nodes if node != source)
        with installation.handler_away({"source": source, "target": target}[end]):
            machine.migrate()


def test_handlers_are_rolled_in_the_middle_of_a_migration(
    cluster: Cluster, machines: Machines, installation: Deployment
) -> None:
    """Both handlers, one after the other, while the VM moves between their nodes."""
    machine = machines.start(node=None, labels=SLOW, memory=SLOW_MEMORY)
    with never_wrong(cluster, machine):
        migration = machine.begin_migration()
        migration.wait_under_way()
        installation.roll_handler()
        migration.wait_succeeded()
