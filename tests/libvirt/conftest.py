"""One private libvirt for all tests of this folder, and a separate one for each test that kills or freezes it."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from testbed.event_log import EventLog
from testbed.libvirtd import PrivateLibvirt
from testbed.pool import ViewerPool
from testbed.vm import VirtualMachine, VirtualMachines


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[PrivateLibvirt]:
    """Shared: tests only start and stop their own VMs on it."""
    with PrivateLibvirt() as shared:
        yield shared


@pytest.fixture
def new_libvirtd() -> Iterator[Callable[[], PrivateLibvirt]]:
    """Starts a libvirt that a test may kill, freeze and stop."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(PrivateLibvirt())


@pytest.fixture
def vms(libvirtd: PrivateLibvirt) -> Iterator[VirtualMachines]:
    """On the shared libvirt; removed at the end."""
    with VirtualMachines(libvirtd) as machines:
        yield machines


@pytest.fixture
def vm(vms: VirtualMachines) -> VirtualMachine:
    """A VM as KubeVirt creates it: started, and paused."""
    return vms.new().start()


@pytest.fixture
def events(vm: VirtualMachine) -> Iterator[EventLog]:
    """The events that libvirt reports about `vm`."""
    with EventLog(vm.libvirtd.uri, vm.name) as log:
        yield log


@pytest.fixture
def viewers() -> Iterator[ViewerPool]:
    with ViewerPool() as pool:
        yield pool
