"""Which pods get the agent, and that nothing else of them changes: the policy of manifests/components/injection."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.injection.conftest import OPT_IN
from tests.apiserver.injection.pods import (
    AGENT,
    INJECT,
    OPTED_IN,
    VOLUMES,
    Cluster,
    agents_of,
    container,
    launcher,
    without_agent,
)
from tests.apiserver.injection.policies import BINDINGS, IN_FORCE, POLICIES
from tests.cluster.objects import Object


def test_a_launcher_pod_gets_the_agent_as_a_native_sidecar_of_its_own_user(cluster: Cluster) -> None:
    """uid 107, no capability, no token, nothing writable except 1 MiB next to the handler's socket."""
    pod = cluster.created(launcher())
    assert pod["spec"]["initContainers"] == [AGENT]
    assert pod["spec"]["volumes"][-2:] == VOLUMES


def test_the_agent_comes_after_the_init_containers_that_are_there(cluster: Cluster) -> None:
    """They keep their order and their content."""
    there = [container("container-disk-binary"), container("guest-console-log", restartPolicy="Always")]
    pod = cluster.created(launcher(initContainers=there))
    names = [c["name"] for c in pod["spec"]["initContainers"]]
    assert names == ["container-disk-binary", "guest-console-log", "launcher-agent"]


@pytest.mark.parametrize("more", [{}, {"initContainers": [container("container-disk-binary")]}])
def test_nothing_else_of_the_pod_changes(cluster: Cluster, more: Mapping[str, Any]) -> None:
    """Without the agent and its volume, the pod equals the pod that was sent."""
    injected, plain = cluster.created(launcher(**more)), cluster.created(launcher({INJECT: "false"}, **more))
    assert without_agent(injected) == plain["spec"]


def other_label() -> Object:
    pod = launcher()
    pod["metadata"]["labels"]["kubevirt.io"] = "hotplug-disk"
    return pod


def no_label() -> Object:
    pod = launcher()
    del pod["metadata"]["labels"]
    return pod


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(no_label(), id="not a launcher"),
        pytest.param(other_label(), id="another pod of KubeVirt's"),
        pytest.param(launcher(volumes=[{"name": "private", "emptyDir": {}}]), id="no libvirt"),
        pytest.param(launcher(volumes=[]), id="no volumes"),
        pytest.param(launcher({INJECT: "false"}), id="opted out"),
        pytest.param(launcher(containers=[container(), container("launcher-agent")]), id="an agent of its own"),
        pytest.param(
            launcher(volumes=[{"name": name, "emptyDir": {}} for name in ("libvirt-runtime", "service-status")]),
            id="a volume of that name",
        ),
        pytest.param(
            launcher(
                volumes=[{"name": name, "emptyDir": {}} for name in ("libvirt-runtime", "service-status-no-token")]
            ),
            id="a volume named like the empty one",
        ),
    ],
)
def test_any_other_pod_stays_as_it_is(cluster: Cluster, pod: Object) -> None:
    """No container, no volume, no refusal."""
    before = copy.deepcopy(pod["spec"])
    after = cluster.created(pod)["spec"]
    assert "initContainers" not in after
    assert [c["name"] for c in after["containers"]] == [c["name"] for c in before["containers"]]
    assert after.get("volumes", []) == before["volumes"]


def test_a_namespace_can_opt_out(cluster: Cluster) -> None:
    """The label on the namespace suffices, whatever the pod's labels are."""
    quiet = cluster.create_namespace({INJECT: "false"})
    assert agents_of(quiet.created(launcher())) == []
    assert agents_of(quiet.created(launcher({INJECT: "true"}))) == []


def test_an_injected_pod_is_not_injected_again(cluster: Cluster) -> None:
    """A user who copies a running launcher's spec gets one agent."""
    first = cluster.created(launcher())
    assert cluster.created(launcher(**first["spec"]))["spec"] == first["spec"]


def test_a_pod_that_another_policy_changes_afterwards_is_injected_once(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    """The API server then calls all policies a second time."""
    name = f"zz-after-{namespace}"
    other = {
        "kind": "MutatingAdmissionPolicy",
        "apiVersion": "admissionregistration.k8s.io/v1",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ],
            },
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {
                        "expression": "Object{metadata: Object.metadata{labels: {'count':"
                        " string(object.spec.?initContainers.orValue([]).size())}}}"
                    },
                }
            ],
        },
    }
    binding = {**other, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": name}}
    client.post(POLICIES, other)
    client.post(BINDINGS, binding)
    try:
        pod = wait_until(
            lambda: cluster.created(launcher()),
            lambda seen: "count" in seen["metadata"]["labels"],
            what="the other policy is in force",
            interval=IN_FORCE,
        )
        assert pod["metadata"]["labels"]["count"] == "1"
        assert agents_of(pod) == [AGENT]
    finally:
        client.delete(f"{BINDINGS}/{name}")
        client.delete(f"{POLICIES}/{name}")


@pytest.mark.parametrize("injection", [OPT_IN], indirect=True)
@pytest.mark.parametrize(
    ("on_namespace", "on_pod", "injected"),
    [(*labels, injected) for labels, injected in OPTED_IN.items()],
)
def test_with_opt_in_only_those_who_ask_get_the_agent(
    cluster: Cluster, on_namespace: str | None, on_pod: str | None, injected: bool
) -> None:
    """`true` on the pod or on its namespace requests it; `false` on either forbids it."""
    asked = cluster.create_namespace({INJECT: on_namespace} if on_namespace else {})
    pod = asked.created(launcher({INJECT: on_pod} if on_pod else {}))
    assert agents_of(pod) == ([AGENT] if injected else [])
