"""The agent fits what bounds a launcher pod: its class of service, a LimitRange, Pod Security Standards, its token."""

from collections.abc import Mapping

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.apiserver.injection.pods import (
    AGENT,
    BURSTABLE,
    GUARANTEED,
    INJECT,
    Cluster,
    Resources,
    agent_of,
    agents_of,
    container,
    launcher,
    named,
)
from tests.apiserver.injection.policies import IN_FORCE
from tests.cluster.objects import Object


@pytest.mark.parametrize(
    "resources",
    [
        pytest.param(GUARANTEED, id="requests equal to limits"),
        pytest.param({"limits": {"cpu": "2", "memory": "1Gi"}}, id="limits alone"),
        pytest.param(
            {"requests": {"cpu": "2000m", "memory": "1024Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
            id="the same said in two ways",
        ),
    ],
)
def test_a_guaranteed_pod_stays_guaranteed(cluster: Cluster, resources: Resources) -> None:
    """The agent's requests equal its limits; otherwise a VM with dedicated CPUs could not be scheduled."""
    others = [container("guest-console-log", GUARANTEED, restartPolicy="Always")]
    pod = cluster.created(launcher(containers=[container(resources=resources)], initContainers=others))
    assert pod["status"]["qosClass"] == "Guaranteed"
    assert agent_of(pod)["resources"] == {
        "requests": {"cpu": "100m", "memory": "64Mi"},
        "limits": {"cpu": "100m", "memory": "64Mi"},
    }


NOT_GUARANTEED = {
    "no limits": BURSTABLE,
    "no limit of memory": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}},
    "lower requests": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
}


@pytest.mark.parametrize("is_init", [False, True])
@pytest.mark.parametrize("resources", NOT_GUARANTEED.values(), ids=NOT_GUARANTEED.keys())
def test_any_other_pod_is_asked_for_little(cluster: Cluster, resources: Resources, is_init: bool) -> None:
    """If one container of either kind is not Guaranteed, the agent requests what it needs when idle."""
    main, other = (GUARANTEED, resources) if is_init else (resources, GUARANTEED)
    pod = cluster.created(launcher(containers=[container(resources=main)], initContainers=[container("init", other)]))
    assert pod["status"]["qosClass"] == "Burstable"
    assert agent_of(pod)["resources"] == AGENT["resources"]


@pytest.mark.parametrize("with_limits", [False, True])
def test_a_pod_with_resources_of_its_own_is_admitted(cluster: Cluster, with_limits: bool) -> None:
    """The sum of the containers' requests must not exceed the pod's, and the VM's container requests all of it."""
    resources = GUARANTEED if with_limits else BURSTABLE
    pod = cluster.created(launcher(resources=resources, containers=[container(resources=resources)]))
    assert pod["spec"]["resources"] == resources
    assert agent_of(pod)["resources"] == {
        "requests": {"cpu": "0", "memory": "0"},
        "limits": {"cpu": "100m", "memory": "64Mi"},
    }


def limit(cluster: Cluster, client: Client, kind: str, **bounds: Mapping[str, str]) -> None:
    """Give the namespace a LimitRange; it is in force when a pod that violates it is rejected."""
    metadata = {"name": "bounds", "namespace": cluster.namespace}
    spec = {"limits": [{"type": kind, **bounds}]}
    path = f"/api/v1/namespaces/{cluster.namespace}/limitranges"
    client.post(path, {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": spec})


def refusal(cluster: Cluster, pod: Object) -> str:
    try:
        cluster.created(pod)
    except ApiError as error:
        return str(error)
    return ""


def test_the_agent_is_admitted_where_limits_are_at_most_ten_times_the_requests(
    cluster: Cluster, client: Client
) -> None:
    """KubeVirt's launcher keeps that ratio with its own limits, and the agent keeps it with its defaults."""
    fits = container(resources={"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}})
    breaks = container(resources={"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "2"}})
    limit(cluster, client, "Container", maxLimitRequestRatio={"cpu": "10", "memory": "2"})
    wait_until(
        lambda: refusal(cluster, launcher(containers=[breaks])),
        lambda words: "cpu max limit to request ratio per Container is 10" in words,
        what="the LimitRange is in force",
        interval=IN_FORCE,
    )
    assert agent_of(cluster.created(launcher(containers=[fits])))["resources"] == AGENT["resources"]


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_the_agent_is_admitted_wherever_its_launcher_is(cluster: Cluster, level: str) -> None:
    """KubeVirt's launcher passes `restricted`, and still does with the agent in it."""
    strict = cluster.create_namespace({"pod-security.kubernetes.io/enforce": level})
    assert agents_of(strict.created(launcher())) == [AGENT]


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_the_agent_is_never_the_reason_why_a_pod_is_refused(cluster: Cluster, level: str) -> None:
    """A launcher that is not admitted is rejected with the same message as without the agent."""
    strict = cluster.create_namespace({"pod-security.kubernetes.io/enforce": level})
    privileged = container(securityContext={"privileged": True})
    rejections = []
    for inject in ("true", "false"):
        with pytest.raises(ApiError, match="violates PodSecurity") as refused:
            strict.created({**launcher({INJECT: inject}, containers=[privileged]), "metadata": named(inject)})
        rejections.append(str(refused.value))
    assert rejections[0] == rejections[1]
    assert "launcher-agent" not in rejections[0]


def test_the_agent_has_no_token_in_a_pod_that_has_one(cluster: Cluster) -> None:
    """A VMI with a serviceAccount volume, or with Istio, has its token mounted into all containers except the agent."""
    pod = cluster.created(launcher(automountServiceAccountToken=True))
    (compute,) = pod["spec"]["containers"]
    (token,) = (v["name"] for v in pod["spec"]["volumes"] if "projected" in v)
    assert [mount["name"] for mount in compute["volumeMounts"]] == [token]
    assert agent_of(pod)["volumeMounts"] == AGENT["volumeMounts"]
