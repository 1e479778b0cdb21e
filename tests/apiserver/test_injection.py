"""Which pods get the agent, and that nothing else of them changes: the policy of manifests/components/injection.

The tests use the policy as shipped, where a mistake in it would show only as a missing agent, and with
`failurePolicy: Fail`, where the API server reports the mistake. Pods are created with `dryRun`; none is stored.
"""

import copy
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.apiserver.identities import BASE
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object
from tests.cluster.tools import REPOSITORY

COMPONENTS = REPOSITORY / "manifests" / "components"
INJECT = "servicestatus.kubevirt.io/inject"
TEMPLATES = "/apis/servicestatus.kubevirt.io/v1alpha1/namespaces/vmi-service-status/launcheragenttemplates"
TEMPLATE = f"{TEMPLATES}/vmi-service-status-launcher-agent"
POLICIES = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"
BINDINGS = POLICIES.replace("policies", "policybindings")
# A policy is in force up to 2 s after it was applied, and no longer in force up to 2 s after it was deleted.
IN_FORCE = 0.05

AGENT = {
    "name": "launcher-agent",
    "image": "registry.invalid/vmi-service-status/launcher-agent:dev",
    "imagePullPolicy": "IfNotPresent",
    "restartPolicy": "Always",
    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
    "securityContext": {
        "runAsUser": 107,
        "runAsGroup": 107,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "volumeMounts": [
        {"name": "service-status", "mountPath": "/var/run/service-status"},
        {"name": "libvirt-runtime", "mountPath": "/var/run/libvirt", "readOnly": True},
        {
            "name": "service-status-no-token",
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "readOnly": True,
        },
    ],
}
VOLUMES = [
    {"name": "service-status", "emptyDir": {"sizeLimit": "1Mi"}},
    {"name": "service-status-no-token", "emptyDir": {"sizeLimit": "4Ki"}},
]

Resources = Mapping[str, Mapping[str, str]]
GUARANTEED: Resources = {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
BURSTABLE: Resources = {"requests": {"cpu": "100m", "memory": "1Gi"}}


# --- pods -------------------------------------------------------------------------------------------------------------


def container(name: str = "compute", resources: Resources = BURSTABLE, **more: object) -> Object:
    """Return a container like those of KubeVirt's launcher pods; it passes the Pod Security Standard `restricted`."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    return {"name": name, "image": "none.invalid/none", "resources": resources, "securityContext": context, **more}


def launcher(labels: Mapping[str, str] | None = None, **spec: object) -> Object:
    """Return a launcher pod with the fields that matter here; `spec` replaces fields of it."""
    context = {"runAsUser": 107, "runAsGroup": 107, "fsGroup": 107, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "virt-launcher-", "labels": {"kubevirt.io": "virt-launcher", **(labels or {})}},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": context,
            "containers": [container()],
            "volumes": [{"name": name, "emptyDir": {}} for name in ("private", "sockets", "libvirt-runtime")],
            **spec,
        },
    }


def without_agent(pod: Object) -> Object:
    """Return the pod without what was added to it."""
    spec: Object = copy.deepcopy(pod["spec"])
    spec["volumes"] = [volume for volume in spec["volumes"] if volume not in VOLUMES]
    spec["initContainers"] = [c for c in spec["initContainers"] if c["name"] != "launcher-agent"]
    if not spec["initContainers"]:
        del spec["initContainers"]
    return spec


def agents_of(pod: Object) -> list[Object]:
    return [c for c in pod["spec"].get("initContainers", ()) if c["name"] == "launcher-agent"]


def agent_of(pod: Object) -> Object:
    (agent,) = agents_of(pod)
    return agent


class Cluster:
    """Creates pods as dry runs."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    def created(self, pod: Object) -> Object:
        return self._client.post(f"/api/v1/namespaces/{self.namespace}/pods?dryRun=All", pod)

    def create_namespace(self, labels: Mapping[str, str]) -> "Cluster":
        """The labels are there from the beginning, so no policy sees the namespace without them."""
        name = f"{self.namespace}-{uuid.uuid4().hex[:8]}"
        metadata = {"name": name, "labels": dict(labels)}
        self._client.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(lambda: self._client.find(account), what=f"{name} has its service account", interval=0.02)
        return Cluster(self._client, name)


# --- the policy -------------------------------------------------------------------------------------------------------


def built(plane: ControlPlane, folder: Path, component: str) -> list[Object]:
    """Return the component's objects and the template, as `kubectl kustomize` builds them."""
    path = os.path.relpath(COMPONENTS / component, folder)
    (folder / "kustomization.yaml").write_text(json.dumps({"components": [path]}))
    template = yaml.safe_load((BASE / "agent-template.yaml").read_text())
    return [template, *yaml.safe_load_all(plane.kubectl("kustomize", folder))]


class Injection:
    """A policy of this project while it is in force."""

    def __init__(
        self, plane: ControlPlane, client: Client, objects: list[Object], probe: Object, spared: Object
    ) -> None:
        """`probe` gets the agent by this policy; `spared` does not, but may get it by the former policy."""
        self._plane = plane
        self._client = client
        self._list = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self._probe = probe
        self._spared = spared
        self._cluster = Cluster(client, "default")

    def _injects(self) -> bool:
        return bool(agents_of(self._cluster.created(self._probe)))

    def _in_force(self) -> bool:
        # Policy and binding are cached separately: for a moment a new binding may refer to a former policy.
        return self._injects() and not agents_of(self._cluster.created(self._spared))

    def __enter__(self) -> None:
        self._plane.kubectl("apply", "--server-side", "--filename=-", input=self._list)
        # Denied with the reason until the template is seen, or for as long as it is wrong.
        wait_until(self._in_force, what="pods are injected", interval=IN_FORCE, retry_on=(ApiError,))

    def __exit__(self, *_: object) -> None:
        """A policy that another one replaces must not be taken for it."""
        self._plane.kubectl("delete", "--filename=-", "--ignore-not-found", input=self._list)
        wait_until(self._injects, lambda seen: not seen, what="pods are injected no more", interval=IN_FORCE)


OPT_IN = "opt-in"


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Iterator[Client]:
    """The client of an administrator, for as long as the policy is in force."""
    client = Client(control_plane.kubeconfig)
    yield client
    client.close()


@pytest.fixture(scope="module", params=["Ignore", "Fail"])
def injection(
    request: pytest.FixtureRequest, control_plane: ControlPlane, admin: Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """In force, with either failurePolicy; or the component injection-opt-in, with Fail. Never two at a time."""
    opt_in = request.param == OPT_IN
    component = "injection-opt-in" if opt_in else "injection"
    objects = built(control_plane, tmp_path_factory.mktemp(component), component)
    for thing in objects:
        if thing["kind"] == "MutatingAdmissionPolicy":
            thing["spec"]["failurePolicy"] = "Fail" if opt_in else request.param
    probe, spared = ({INJECT: "true"}, {}) if opt_in else ({}, {INJECT: "false"})
    with Injection(control_plane, admin, objects, launcher(probe), launcher(spared)):
        yield


@pytest.fixture
def cluster(injection: None, client: Client, namespace: str) -> Cluster:
    return Cluster(client, namespace)


# --- which pods get it ------------------------------------------------------------------------------------------------


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


# --- never twice ------------------------------------------------------------------------------------------------------


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


# --- quality of service -----------------------------------------------------------------------------------------------


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


# --- LimitRange, ResourceQuota ----------------------------------------------------------------------------------------


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


# --- Pod Security Standards -------------------------------------------------------------------------------------------


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


def named(inject: str) -> Object:
    return {"name": "virt-launcher-vm", "labels": {"kubevirt.io": "virt-launcher", INJECT: inject}}


# --- the service account's token --------------------------------------------------------------------------------------


def test_the_agent_has_no_token_in_a_pod_that_has_one(cluster: Cluster) -> None:
    """A VMI with a serviceAccount volume, or with Istio, has its token mounted into all containers except the agent."""
    pod = cluster.created(launcher(automountServiceAccountToken=True))
    (compute,) = pod["spec"]["containers"]
    (token,) = (v["name"] for v in pod["spec"]["volumes"] if "projected" in v)
    assert [mount["name"] for mount in compute["volumeMounts"]] == [token]
    assert agent_of(pod)["volumeMounts"] == AGENT["volumeMounts"]


# --- what a cluster may choose ----------------------------------------------------------------------------------------


@pytest.fixture
def template(cluster: Cluster, client: Client) -> Iterator[Callable[[Object], None]]:
    """Change the template's container; restore it afterwards."""
    original = client.get(TEMPLATE)

    def change(fields: Object) -> None:
        changed = client.get(TEMPLATE)
        changed["spec"]["containers"][0].update(fields)
        client.put(TEMPLATE, changed)

    yield change
    current = client.find(TEMPLATE)
    if current is None:
        fresh = {key: original["metadata"][key] for key in ("name", "namespace", "labels")}
        client.post(TEMPLATES, {**original, "metadata": fresh})
    else:
        client.put(TEMPLATE, {**original, "metadata": current["metadata"]})
    wait_until(
        lambda: cluster.created(launcher())["spec"],
        lambda seen: seen.get("initContainers") == [AGENT] and "imagePullSecrets" not in seen,
        what="it is as it was",
    )


def test_a_change_of_the_template_is_in_force_for_the_next_pod(
    cluster: Cluster, template: Callable[[Object], None]
) -> None:
    """Image, pull policy, arguments and resources; the rest of the container cannot be chosen."""
    chosen = {
        "image": "registry.example/launcher-agent:1.2",
        "imagePullPolicy": "Always",
        "args": ["--log-level=debug", "--no-query"],
        "resources": {"requests": {"cpu": "1m", "memory": "32Mi"}, "limits": {"memory": "48Mi"}},
    }
    template({**chosen, "securityContext": {"runAsUser": 0}, "env": [{"name": "A", "value": "b"}]})
    wait_until(
        lambda: agents_of(cluster.created(launcher())),
        lambda seen: seen == [{**AGENT, **chosen}],
        what="the agent is as the template says",
        interval=IN_FORCE,
    )


SECRETS = [{"name": "registry"}, {"name": "mirror"}]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, ["registry", "mirror"]),
        (["container-disks"], ["container-disks", "registry", "mirror"]),
        (["mirror"], ["mirror", "registry"]),
    ],
)
def test_the_templates_pull_secrets_are_added_to_the_pods_own(
    cluster: Cluster, client: Client, template: Callable[[Object], None], own: list[str] | None, expected: list[str]
) -> None:
    """The kubelet denies an image that was pulled with a secret to a pod without that secret."""
    changed = client.get(TEMPLATE)
    changed["spec"]["imagePullSecrets"] = SECRETS
    client.put(TEMPLATE, changed)
    pod = launcher() if own is None else launcher(imagePullSecrets=[{"name": name} for name in own])
    wait_until(
        lambda: [secret["name"] for secret in cluster.created(pod)["spec"].get("imagePullSecrets", ())],
        lambda seen: seen == expected,
        what=f"the pod has the secrets {expected}",
        interval=IN_FORCE,
    )
    assert agents_of(cluster.created(pod)) == [AGENT]


def test_a_template_without_resources_is_taken_too(cluster: Cluster, template: Callable[[Object], None]) -> None:
    """The agent then has no resources, and is injected."""
    template({"resources": {}})
    wait_until(
        lambda: agents_of(cluster.created(launcher())),
        lambda seen: seen == [{**AGENT, "resources": {}}],
        what="the agent has no resources",
        interval=IN_FORCE,
    )


def test_without_the_template_a_pod_is_created_as_it_is(
    cluster: Cluster, client: Client, template: Callable[[Object], None]
) -> None:
    """A VM is never rejected because an object of this project is missing."""
    client.delete(TEMPLATE)
    wait_until(
        lambda: agents_of(cluster.created(launcher())),
        lambda seen: seen == [],
        what="pods are not injected",
        interval=IN_FORCE,
    )


# --- opt-in -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("injection", [OPT_IN], indirect=True)
@pytest.mark.parametrize(
    ("on_namespace", "on_pod", "injected"),
    [
        (None, None, False),
        (None, "true", True),
        (None, "false", False),
        ("true", None, True),
        ("true", "true", True),
        ("true", "false", False),
        ("false", None, False),
        ("false", "true", False),
    ],
)
def test_with_opt_in_only_those_who_ask_get_the_agent(
    cluster: Cluster, on_namespace: str | None, on_pod: str | None, injected: bool
) -> None:
    """`true` on the pod or on its namespace requests it; `false` on either forbids it."""
    asked = cluster.create_namespace({INJECT: on_namespace} if on_namespace else {})
    pod = asked.created(launcher({INJECT: on_pod} if on_pod else {}))
    assert agents_of(pod) == ([AGENT] if injected else [])
