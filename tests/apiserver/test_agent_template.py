"""The schema of the template: what an admin may choose is admitted, and a mistake is rejected when it is applied.

A template that a pod could not follow would keep VMs from starting. Admins apply with kubectl, which asks for strict
validation: a field that the schema does not have is an error.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.apiserver.identities import BASE
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubectl import KubectlError
from tests.cluster.objects import Object

SHIPPED: Object = yaml.safe_load((BASE / "agent-template.yaml").read_text())
Change = Callable[[Any, Any], object]


def applied(plane: ControlPlane, change: Change) -> Object:
    """Apply the shipped template with this change of its spec and of its container, as a dry run."""
    template = copy.deepcopy(SHIPPED)
    change(template["spec"], template["spec"]["containers"][0])
    dry = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--output=json", "--filename=-")
    made: Object = json.loads(plane.kubectl(*dry, input=json.dumps(template)))
    return made


def test_all_that_can_be_chosen_is_kept(control_plane: ControlPlane) -> None:
    """Numbers as amounts too, as in a pod."""
    amounts = {"cpu": 1, "memory": "1.5Gi", "ephemeral-storage": "1e6"}
    chosen = {
        "name": "launcher-agent",
        "image": "registry.example:5000/a/b@sha256:0123",
        "imagePullPolicy": "Always",
        "args": ["--log-level=debug", ""],
        "resources": {"requests": amounts, "limits": amounts},
    }
    secrets = [{"name": "registry"}, {"name": "mirror.example"}]
    made = applied(control_plane, lambda spec, _: spec.update(containers=[chosen], imagePullSecrets=secrets))
    assert made["spec"] == {"containers": [chosen], "imagePullSecrets": secrets}


def test_without_a_pull_policy_a_vm_waits_for_no_registry(control_plane: ControlPlane) -> None:
    """Whatever the image's tag is."""
    made = applied(control_plane, lambda _, agent: agent.pop("imagePullPolicy"))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def limits(**amounts: object) -> Change:
    return lambda _, agent: agent.update(resources={"limits": amounts})


MISTAKES: dict[str, tuple[Change, str]] = {
    "no image": (lambda _, agent: agent.pop("image"), "image: Required value"),
    "an empty image": (lambda _, agent: agent.update(image=""), "image: Invalid value"),
    "a space in the image": (lambda _, agent: agent.update(image="a b"), "image: Invalid value"),
    "no pull policy of Kubernetes": (lambda _, agent: agent.update(imagePullPolicy="never"), "Unsupported value"),
    "another container": (lambda _, agent: agent.update(name="agent"), 'Unsupported value: "agent"'),
    "two containers": (
        lambda spec, agent: spec["containers"].append({**agent, "name": "other"}),
        "spec.containers: Too many",
    ),
    "no container": (lambda spec, _: spec.update(containers=[]), "is invalid"),
    "a field that cannot be chosen": (
        lambda _, agent: agent.update(securityContext={"runAsUser": 0}),
        "field not declared in schema",
    ),
    "a variable": (lambda _, agent: agent.update(env=[{"name": "A"}]), "field not declared in schema"),
    "a misspelled field": (lambda spec, _: spec.update(imagePullSecret=[]), "field not declared in schema"),
    "args that are a string": (lambda _, agent: agent.update(args="--query=never"), "args"),
    "an argument that is a number": (lambda _, agent: agent.update(args=[1]), "args[0]: expected string"),
    "a secret without a name": (lambda spec, _: spec.update(imagePullSecrets=[{}]), "name"),
    "a secret with a name of no object": (
        lambda spec, _: spec.update(imagePullSecrets=[{"name": "Registry_1"}]),
        "imagePullSecrets[0].name: Invalid value",
    ),
    "a unit that is none": (limits(memory="64MB"), "resources.limits.memory: Invalid value"),
    "a negative amount": (limits(cpu="-1"), "resources.limits.cpu: Invalid value"),
    "a negative number": (limits(cpu=-1), "resources.limits.cpu: Invalid value"),
    "a resource that is none of the three": (limits(gpu="1"), "only cpu, memory and ephemeral-storage"),
    "a request above its limit": (
        lambda _, agent: agent["resources"]["requests"].update(memory="65Mi"),
        "a request is at most the limit of the same resource",
    ),
    "a request above its limit, in other units": (
        lambda _, agent: agent["resources"]["requests"].update(cpu=1),
        "a request is at most the limit of the same resource",
    ),
}


@pytest.mark.parametrize(("change", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_rejected_when_it_is_applied(control_plane: ControlPlane, change: Change, message: str) -> None:
    """With the field's name, or the reason."""
    with pytest.raises(KubectlError) as rejected:
        applied(control_plane, change)
    assert message in str(rejected.value)
