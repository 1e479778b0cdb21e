"""What happens to a companion with its VMI, and to the VMI's own status on a KubeVirt without the field."""

from testbed.waiting import wait_until
from tests.apiserver.vmis import Vmi, seen
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machine, Machines


def wait_companion_gone(vmi: Vmi) -> None:
    """The API server's garbage collector takes a second or two."""
    wait_until(vmi.companion, lambda found: found is None, what=f"the companion of {vmi.name} is gone")


def test_a_companion_goes_with_its_vmi_and_the_next_one_starts_absent(machines: Machines) -> None:
    """Deleted with a viewer connected, and created again under its name."""
    machine = machines.start()
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
        machine.delete()
        wait_companion_gone(machine.vmi)

    again = machines.create()
    assert again.vmi.uid != machine.vmi.uid
    with again.vmi.record_companion() as versions:
        again.wait_running()
        again.vmi.wait_told(seen(0))
    assert {value for value in versions.values(_sessions) if value is not None} == set()
    with again.virtctl() as virtctl:
        virtctl.view()
        again.vmi.wait_told(seen(1))


def test_a_restarted_virtual_machine_starts_absent(machines: Machines) -> None:
    """`virtctl restart` with a viewer connected, which is cut off: the next VMI is another one, and starts at zero."""
    machine = machines.own()
    with machine.virtctl() as virtctl:
        viewer = virtctl.view()
        machine.vmi.wait_told(seen(1))
        machine.do("restart")
        viewer.wait_closed(timeout=60)
        again = machines.successor("vm", former=machine.vmi.uid)
    again.vmi.wait_told(seen(0))
    with again.virtctl() as virtctl:
        virtctl.view()
        again.vmi.wait_told(seen(1))


def _sessions(companion: dict[str, dict[str, object]]) -> object:
    return companion.get("status", {}).get("vncSessions")


def test_a_stock_kubevirt_keeps_no_status_and_the_log_says_so(machine: Machine, installation: Deployment) -> None:
    """The companion shows the number; each handler's log says once that the VMI's own status does not."""
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
        assert machine.vmi.service_status() is None
    said = "vmi-status: pruned: "
    log = installation.handler_log().splitlines()
    texts = [line.partition(said)[2] for line in log if said in line]
    # Another test adds the field to the VMI's schema for a while.
    changes = sum("vmi-status: the API server keeps the field now" in line for line in log)
    pruned = "the VMI's schema has no status.serviceStatus.vncSessions; this publisher shows no values"
    assert set(texts) == {pruned}
    assert len(texts) <= len(installation.handler_restarts()) + changes


# Warnings of a machine whose CPUs are all busy.
STARVED = ("has not answered a call about", "within a lease; the number is unknown")


def test_an_ordinary_life_is_no_warning(machine: Machine, installation: Deployment) -> None:
    """A VM that starts, is watched and is deleted causes no WARNING, which an administrator has to read."""
    name = f"{machine.vmi.namespace}/{machine.vmi.name}"
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))
    machine.vmi.wait_told(seen(0))
    agent = machine.agent_log()
    machine.delete()
    wait_companion_gone(machine.vmi)
    handlers = [line for line in installation.handler_log().splitlines() if name in line]
    assert " INFO " in agent
    alarming = [line for line in [*agent.splitlines(), *handlers] if " WARNING " in line or " ERROR " in line]
    assert [line for line in alarming if not any(text in line for text in STARVED)] == []
