"""A VMI CRD to which an admin has added the field of VEP #119: the effects on KubeVirt 1.8."""

import itertools
import json
import time
from collections.abc import Iterator

import pytest

from testbed.promises import SHOWN_WITHIN
from testbed.waiting import wait_until
from tests.apiserver.client import JSON_PATCH, Client, Recorder
from tests.apiserver.vmis import seen, service_status
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.machines import Machine
from tests.node.site import Site

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/virtualmachineinstances.kubevirt.io"
FIELD = {"type": "object", "properties": {"vncSessions": {"type": "integer"}}}
# virt-operator compares every few seconds; 3 s were measured.
REVERT_TIMEOUT = 60.0
# Without a status that virt-handler has erased: 50 to 90 ms were measured.
REWRITE_SECONDS = 1.0


def statuses(client: Client) -> list[dict[str, object]]:
    versions = client.get(CRD)["spec"]["versions"]
    return [version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"] for version in versions]


def is_extended(client: Client) -> bool:
    return any("serviceStatus" in status for status in statuses(client))


def extend(client: Client) -> None:
    path = "/spec/versions/{}/schema/openAPIV3Schema/properties/status/properties/serviceStatus"
    count = len(statuses(client))
    client.patch(CRD, [{"op": "add", "path": path.format(i), "value": FIELD} for i in range(count)], JSON_PATCH)


def wait_reverted(client: Client) -> None:
    reverted = "virt-operator has made the CRD its own again"
    wait_until(lambda: is_extended(client), lambda extended: not extended, what=reverted, timeout=REVERT_TIMEOUT)


@pytest.fixture
def extended(site: Site, machine: Machine, installation: Deployment) -> Iterator[None]:
    """The field is there, and stays while virt-operator, which would remove it, is down."""
    installation.scale_operator(0)
    extend(site.client)
    yield
    installation.scale_operator(1)
    wait_reverted(site.client)


def test_virt_operator_takes_the_field_away(site: Site, machine: Machine) -> None:
    """Within seconds; the companion still shows the number."""
    extend(site.client)
    wait_reverted(site.client)
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_told(seen(1))


@pytest.mark.usefixtures("extended")
def test_a_vmi_shows_its_sessions(site: Site, machine: Machine) -> None:
    """In the form of VEP #119. virt-handler's writes erase the field, and the handler writes it again at once."""
    with machine.virtctl() as virtctl:
        virtctl.view()
        machine.vmi.wait_for(1)
        described = site.cluster.kubectl("describe", "vmi", machine.vmi.name, f"--namespace={machine.vmi.namespace}")
        assert "  Service Status:\n    Vnc Sessions:  1\n" in described
        with machine.vmi.record() as versions:
            machine.do("pause", "vmi")
            paused = "KubeVirt says that the VM is paused"
            wait_until(lambda: machine.conditions().get("Paused"), lambda status: status == "True", what=paused)
            time.sleep(REWRITE_SECONDS)
            machine.vmi.wait_for(1)
        assert longest_absence(versions) < SHOWN_WITHIN, json.dumps(versions.values(service_status))
        assert machine.vmi.told() == seen(1)
    machine.vmi.wait_for(0)


def longest_absence(versions: Recorder) -> float:
    """Return the seconds between a version without the field and the next version, which should have it again."""
    events = list(versions.events)
    gaps = [after.at - event.at for event, after in itertools.pairwise(events) if service_status(event.object) is None]
    return max(gaps, default=0.0)
