"""KubeVirt reports the same about a VM with the project as without it: the same conditions, and the same events."""

from testbed.waiting import wait_until
from tests.apiserver.client import Recorder
from tests.kubevirt.machines import WITHOUT, Machine, Machines
from tests.node.site import Site

# The component whose events are additional.
OURS = "servicestatus.kubevirt.io/handler"
# A step of virt-handler failed and is retried: on a busy machine this happens to either VM.
AGAIN = {("Synchronized", "False"), ("Warning", "SyncFailed")}
# virt-launcher and virt-handler both end a deleted VM; which one is first decides which of these there are. A VM whose
# launcher is gone before virt-handler has looked is reported as crashed.
ENDS = {
    *(("Normal", reason) for reason in ("ShuttingDown", "Deleted", "Stopped", "SuccessfulDelete")),
    ("Warning", "Stopped"),
}

ALIKE = "both VMs have the same conditions and events"


def live(machine: Machine) -> None:
    """A viewer, a pause, a live migration."""
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.do("pause", "vmi")
        wait_until(lambda: "Paused" in machine.conditions(), what=f"{machine.vmi.name} is paused")
        machine.do("unpause", "vmi")
        wait_until(lambda: "Paused" not in machine.conditions(), what=f"{machine.vmi.name} runs on")
    machine.migrate()


def conditions(versions: Recorder, name: str) -> set[tuple[str, str]]:
    """Return each type and status that any version of this VMI had."""
    vmis = [event.object for event in versions.events if event.object["metadata"]["name"] == name]
    found = [condition for vmi in vmis for condition in vmi.get("status", {}).get("conditions", [])]
    return {(condition["type"], condition["status"]) for condition in found} - AGAIN


def events(site: Site, machine: Machine) -> set[tuple[str, str]]:
    """Return type and reason of each of KubeVirt's events about this VMI."""
    path = f"/api/v1/namespaces/{machine.vmi.namespace}/events"
    listed = site.client.get(path, {"fieldSelector": f"involvedObject.uid={machine.vmi.uid}"})["items"]
    theirs = [event for event in listed if event.get("reportingComponent") != OURS]
    return {(event["type"], event["reason"]) for event in theirs} - AGAIN


def test_conditions_and_events_are_as_without_us(site: Site, machines: Machines) -> None:
    """Two VMs at the same time go through the same life, one with an agent and one without."""
    with machines.record() as versions:
        ours = machines.create("with", node=None)
        plain = machines.create("without", node=None, labels=WITHOUT)
        for machine in (ours, plain):
            machine.wait_running()
        for machine in (ours, plain):
            live(machine)
        # A program posts an event after the change, and a busy one some seconds after.
        wait_until(
            lambda: conditions(versions, "with") ^ conditions(versions, "without"),
            lambda differing: not differing,
            what=ALIKE,
        )
        wait_until(lambda: events(site, ours) ^ events(site, plain), lambda differing: not differing, what=ALIKE)
    lived = events(site, ours)
    for machine in (ours, plain):
        machine.vmi.delete()
    machines.wait_none()
    assert events(site, ours) - lived <= ENDS
