"""What is added to a pod; that it is the same as the policy's is tests/apiserver/injection/test_alike.py."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injection_webhook.injection import Object, Reason, decide

TEMPLATE: Object = {
    "spec": {
        "imagePullSecrets": [{"name": "registry"}],
        "containers": [
            {
                "name": "launcher-agent",
                "image": "agent:1",
                "imagePullPolicy": "Never",
                "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "100m"}},
            }
        ],
    }
}
LAUNCHER: Object = {
    "metadata": {"labels": {"kubevirt.io": "virt-launcher"}},
    "spec": {"containers": [{"name": "compute"}], "volumes": [{"name": "libvirt-runtime", "emptyDir": {}}]},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def changed(path: str, value: Any) -> Object:
    pod = copy.deepcopy(LAUNCHER)
    *parents, last = path.split("/")
    at = pod
    for name in parents:
        at = at[name]
    at[last] = value
    return pod


def paths(pod: Object) -> list[str]:
    return [operation["path"] for operation in decide(pod, TEMPLATE).patch]


def agent(pod: Object, template: Object = TEMPLATE) -> Object:
    added: Object = decide(pod, template).patch[-1]["value"]
    return added


def test_a_launcher_gets_two_volumes_a_secret_and_the_container() -> None:
    """Lists that are not there are made first."""
    assert paths(LAUNCHER) == [
        "/spec/volumes/-",
        "/spec/volumes/-",
        "/spec/imagePullSecrets",
        "/spec/imagePullSecrets/-",
        "/spec/initContainers",
        "/spec/initContainers/-",
    ]
    assert agent(LAUNCHER)["image"] == "agent:1"
    assert agent(LAUNCHER)["resources"] == {"requests": {"cpu": "10m"}, "limits": {"cpu": "100m"}}


def test_lists_that_are_there_are_kept() -> None:
    """An empty one too: to make it again would be to replace it."""
    pod = changed("spec/initContainers", [])
    pod["spec"]["imagePullSecrets"] = [{"name": "registry"}, {}]
    assert paths(pod) == ["/spec/volumes/-", "/spec/volumes/-", "/spec/initContainers/-"]


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (changed("metadata/labels", None), Reason.NOT_A_LAUNCHER),
        (changed("metadata/labels/kubevirt.io", "virt-api"), Reason.NOT_A_LAUNCHER),
        (changed("metadata/labels/servicestatus.kubevirt.io", "x"), None),
        (changed("spec/volumes", None), Reason.NO_LIBVIRT),
        (changed("spec/volumes", [{"name": "libvirt-runtime"}, {"name": "service-status"}]), Reason.HAS_AGENT),
        (changed("spec/initContainers", [{"name": "launcher-agent"}]), Reason.HAS_AGENT),
        (changed("spec/containers", [{"name": "launcher-agent"}]), Reason.HAS_AGENT),
    ],
)
def test_a_pod_is_left_alone_for_a_reason(pod: Object, reason: Reason | None) -> None:
    """Each has its own."""
    assert decide(pod, TEMPLATE).reason is reason


def test_false_opts_out_and_nothing_else_does() -> None:
    """The label's value is compared, not its presence."""
    pod = changed("metadata/labels", {"kubevirt.io": "virt-launcher", "servicestatus.kubevirt.io/inject": "false"})
    assert decide(pod, TEMPLATE).reason is Reason.OPTED_OUT
    pod["metadata"]["labels"]["servicestatus.kubevirt.io/inject"] = "no"
    assert decide(pod, TEMPLATE).reason is None


def test_without_a_template_nothing_is_added() -> None:
    """Nor with one that names no image."""
    assert decide(LAUNCHER, None).reason is Reason.NO_TEMPLATE
    unusable: list[Object] = [{}, {"containers": []}, {"containers": [{"image": "a"}]}, {"containers": [{}]}]
    for spec in unusable:
        assert decide(LAUNCHER, {"spec": spec}).reason is Reason.UNUSABLE_TEMPLATE


@pytest.mark.parametrize(
    ("resources", "cpu"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "100m"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}, "100m"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "999m", "memory": "1024Mi"}}, "10m"),
        ({"limits": {"cpu": "1"}}, "10m"),
        ({}, "10m"),
    ],
)
def test_in_a_guaranteed_pod_requests_are_limits(resources: Object, cpu: str) -> None:
    """Equal amounts count, not equal words."""
    assert agent(changed("spec/containers", [{"name": "c", "resources": resources}]))["resources"]["requests"] == {
        "cpu": cpu
    }


def test_in_a_pod_with_resources_of_its_own_nothing_is_requested() -> None:
    """The containers' requests must not exceed the pod's."""
    assert agent(changed("spec/resources", {}))["resources"]["requests"] == {"cpu": "0", "memory": "0"}


@given(st.sampled_from(["metadata", "metadata/labels", "spec", "spec/volumes", "spec/containers"]), JSON)
def test_any_value_in_any_place_is_decided_or_no_pod(path: str, value: Any) -> None:
    """Nothing else is raised: the caller maps these to "malformed"."""
    try:
        decide(changed(path, value), TEMPLATE)
    except (AttributeError, LookupError, TypeError, ValueError):
        return


def test_the_pod_itself_is_not_changed() -> None:
    """It is the caller's."""
    before = copy.deepcopy(LAUNCHER)
    decide(LAUNCHER, TEMPLATE)
    assert before == LAUNCHER
