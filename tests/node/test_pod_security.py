"""Namespaces that enforce a Pod Security Standard: the agent's part of a launcher pod passes each, and works there."""

import uuid
from typing import Any

import pytest

from testbed.pool import ViewerPool
from tests.apiserver.client import ApiError
from tests.apiserver.vmis import seen
from tests.node.installation import Installation
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.launcher.shape import AGENT, IDLE, launcher
from tests.node.place import Place


def enforce(place: Place, namespace: str, level: str) -> None:
    place.cluster.kubectl("label", "namespace", namespace, f"pod-security.kubernetes.io/enforce={level}")


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_a_launcher_that_is_admitted_runs_with_its_agent(
    place: Place, kubevirt: KubeVirt, namespace: str, viewers: ViewerPool, level: str
) -> None:
    """With all restrictions, it reports viewers that come and go."""
    enforce(place, namespace, level)
    machine = kubevirt.start()
    assert [container["name"] for container in machine.launcher.object()["spec"]["initContainers"]] == [AGENT]
    viewer = viewers.establish(machine.display)
    machine.vmi.wait_told(seen(1))
    viewer.close()
    machine.vmi.wait_told(seen(0))


# What a launcher of some VMs needs, and the message of the standard.
GUILTY: dict[str, tuple[str, dict[str, Any], str]] = {
    "privileged": ("baseline", {"privileged": True}, 'privileged (container "compute" must not set'),
    "a capability": (
        "baseline",
        {"capabilities": {"drop": ["ALL"], "add": ["SYS_NICE"]}},
        'non-default capabilities (container "compute" must not include "SYS_NICE"',
    ),
    "root": ("restricted", {"runAsUser": 0, "runAsNonRoot": False}, 'runAsNonRoot != true (container "compute" must'),
}


@pytest.mark.parametrize("guilty", GUILTY)
def test_a_launcher_that_is_not_admitted_is_so_for_its_own_sake(
    place: Place, installation: Installation, namespace: str, guilty: str
) -> None:
    """The agent is in the denied pod, and is no part of the reason."""
    level, context, words = GUILTY[guilty]
    vmi = {"metadata": {"name": "vm", "namespace": namespace, "uid": str(uuid.uuid4())}}
    pod = launcher(place, vmi, command=IDLE)
    (compute,) = pod["spec"]["containers"]
    compute["securityContext"] = {**compute["securityContext"], "allowPrivilegeEscalation": None, **context}
    pods = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
    admitted = place.client.post(pods, pod)
    assert [container["name"] for container in admitted["spec"]["initContainers"]] == [AGENT]
    enforce(place, namespace, level)
    with pytest.raises(ApiError) as refused:
        place.client.post(pods, pod)
    assert refused.value.code == 403
    assert f'violates PodSecurity "{level}:latest"' in str(refused.value)
    assert words in str(refused.value)
    assert AGENT not in str(refused.value)
