"""KubeVirt is removed with everything, its CRDs too, and installed again, while the handlers keep running."""

from tests.apiserver.vmis import seen
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machines

# In between the handlers find no VMIs, and retry every 30 s at least.
TIMEOUT = 60.0


def test_kubevirt_is_reinstalled_around_us(machines: Machines, installation: Deployment) -> None:
    """Without a message to the handlers or a restart of them, VMs of the new KubeVirt are counted."""
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
