"""KubeVirt goes with all that it has, its CRDs too, and comes again, while our handlers stay where they are."""

from tests.apiserver.vmis import seen
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machines

# The handlers find no VMIs meanwhile, and look for them every 30 s at least.
TIMEOUT = 60.0


def test_kubevirt_is_reinstalled_around_us(machines: Machines, installation: Deployment) -> None:
    """No word to our handlers, no restart of theirs: VMs of the new KubeVirt are counted."""
    machine = machines.start("before")
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
        restarts = installation.handler_restarts()
        installation.reinstall()
    machine = machines.start("after")
    machine.vmi.wait_told(seen(0), timeout=TIMEOUT)
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
    assert installation.handler_restarts() == restarts
