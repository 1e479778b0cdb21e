"""The base and its components contain what the docs promise."""

import json
from pathlib import Path

import pytest

from hack.builds.images import REGISTRY
from tests.cluster.kinds import CRD
from tests.cluster.objects import Object
from tests.node.manifests import (
    CONFINED,
    MANIFESTS,
    NAMESPACE,
    WEBHOOK,
    build,
    handler_of,
    images_in,
    one,
    overlay,
    workload,
)


@pytest.fixture
def objects() -> list[Object]:
    """The overlay for a stock KubeVirt."""
    return build(MANIFESTS / "overlays" / "kubevirt")


def test_everything_bears_the_projects_name(objects: list[Object]) -> None:
    """So that one label selects all of it, and an uninstall can be checked for completeness."""
    assert {thing["metadata"]["labels"]["app.kubernetes.io/name"] for thing in objects} == {"vmi-service-status"}


def test_what_has_a_namespace_is_in_the_projects_own(objects: list[Object]) -> None:
    """Nothing is created in other namespaces."""
    namespaces = {thing["kind"]: thing["metadata"].get("namespace") for thing in objects}
    assert {kind for kind, namespace in namespaces.items() if namespace == NAMESPACE} == {
        "DaemonSet",
        "Deployment",
        "LauncherAgentTemplate",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    }
    assert set(namespaces.values()) == {NAMESPACE, None}


def test_an_admin_chooses_both_images_in_one_place(tmp_path: Path) -> None:
    """`images:` reaches the DaemonSet, both Deployments and the injected container; no image is named elsewhere."""
    images = [
        {"name": f"{REGISTRY}/{name}", "newName": f"registry.example/vms/{name}", "newTag": "1.2.3"}
        for name in ("handler-service", "launcher-agent")
    ]
    built = build(overlay(tmp_path, {"components": ["injection", WEBHOOK], "images": images}))
    assert sorted(images_in(built)) == [
        *["registry.example/vms/handler-service:1.2.3"] * 4,
        *["registry.example/vms/launcher-agent:1.2.3"] * 2,
    ]
    assert REGISTRY not in json.dumps(built)


@pytest.mark.parametrize("folder", sorted(path.parent for path in MANIFESTS.rglob("kustomization.yaml")), ids=str)
def test_no_image_can_be_pulled_until_an_admin_names_a_registry(folder: Path, tmp_path: Path) -> None:
    """Any person can register a name on a public registry and get root on every node. `.invalid` has no owner."""
    components, is_component = MANIFESTS / "components", folder.is_relative_to(MANIFESTS / "components")
    name = str(folder.relative_to(components)) if is_component else ""
    built = build(overlay(tmp_path, {"components": [name]}) if is_component else folder)
    hosts = {image.partition("/")[0] for image in images_in(built)}
    assert hosts == (set() if folder == CRD else {"registry.invalid"})


def test_injection_never_stands_in_a_vms_way(objects: list[Object]) -> None:
    """If any part of it fails, the pod is created; only this policy may ignore failures."""
    assert one(objects, "MutatingAdmissionPolicy")["spec"]["failurePolicy"] == "Ignore"
    binding = one(objects, "MutatingAdmissionPolicyBinding")["spec"]
    assert binding["paramRef"]["parameterNotFoundAction"] == "Allow"


def test_the_policy_finds_the_container_that_it_adds(objects: list[Object]) -> None:
    """The binding names the template by name and namespace, which kustomize's transformers do not change."""
    template, binding = one(objects, "LauncherAgentTemplate"), one(objects, "MutatingAdmissionPolicyBinding")
    assert binding["spec"]["paramRef"]["name"] == template["metadata"]["name"]
    assert binding["spec"]["paramRef"]["namespace"] == template["metadata"]["namespace"]


def test_the_handler_is_confined(objects: list[Object]) -> None:
    """No root, no capability, a read-only root, and nothing of the node."""
    spec = handler_of(objects)
    assert spec["securityContext"] == {
        "runAsUser": 65532,
        "runAsGroup": 107,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (brings, opener), (handler,) = spec["initContainers"], spec["containers"]
    assert brings["securityContext"] == handler["securityContext"] == CONFINED
    assert opener["securityContext"] == {"runAsUser": 0, **CONFINED}
    assert spec.keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"})
    assert spec["hostUsers"] is True  # or the pods' directories are not root's
    assert spec["enableServiceLinks"] is False


def test_only_the_opener_has_the_nodes_directory_and_only_the_handler_the_token(objects: list[Object]) -> None:
    """They share a directory with one socket, which the handler cannot write."""
    spec = handler_of(objects)
    (brings, opener), (handler,) = spec["initContainers"], spec["containers"]
    kinds = {volume["name"]: set(volume.keys() - {"name"}).pop() for volume in spec["volumes"]}
    assert kinds == {"pods": "hostPath", "run": "emptyDir", "opener": "emptyDir", "token": "projected"}
    (pods,) = (volume["hostPath"] for volume in spec["volumes"] if volume["name"] == "pods")
    assert pods == {"path": "/var/lib/kubelet/pods", "type": "Directory"}
    assert spec["automountServiceAccountToken"] is False
    assert [mount["name"] for mount in brings.get("volumeMounts", [])] == []
    assert [mount["name"] for mount in opener["volumeMounts"]] == ["pods", "opener"]
    assert [mount["name"] for mount in handler["volumeMounts"]] == ["opener", "run", "token"]
    assert handler["volumeMounts"][0]["readOnly"] is True


def test_the_opener_is_there_as_long_as_the_handler(objects: list[Object]) -> None:
    """It is a sidecar: it starts first, and ends last. Both come from one image, so their versions never differ."""
    opener, handler = handler_of(objects)["initContainers"][1], handler_of(objects)["containers"][0]
    assert opener["restartPolicy"] == "Always"
    assert opener["image"] == handler["image"]


def test_the_openers_mounts_of_pods_end_with_the_pods(objects: list[Object]) -> None:
    """Without propagation each volume that is mounted when the opener starts would be held until the opener ends."""
    (pods,) = (m for m in handler_of(objects)["initContainers"][1]["volumeMounts"] if m["name"] == "pods")
    assert pods == {"name": "pods", "mountPath": "/pods", "mountPropagation": "HostToContainer"}


def test_every_node_gets_the_agents_image_before_a_vm_needs_it(objects: list[Object]) -> None:
    """The DaemonSet's init container has the image that is injected."""
    brings, _ = handler_of(objects)["initContainers"]
    injected = one(objects, "LauncherAgentTemplate")["spec"]["containers"][0]
    assert brings["image"] == injected["image"]
    assert brings["args"] == ["--version"]


def test_a_roll_out_leaves_nine_nodes_of_ten_alone(objects: list[Object]) -> None:
    """And never runs two handlers on one node, which would replace each other's sockets."""
    strategy = one(objects, "DaemonSet")["spec"]["updateStrategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}


def test_no_vm_is_moved_away_for_the_handlers_sake(objects: list[Object]) -> None:
    """Its priority is above that of VMs when memory is short, and it preempts no pod."""
    priority = one(objects, "PriorityClass")
    assert priority["preemptionPolicy"] == "Never"
    assert priority["value"] == 1000000
    assert handler_of(objects)["priorityClassName"] == priority["metadata"]["name"]


def test_with_vmi_status_the_handler_publishes_into_the_vmi_alone(tmp_path: Path) -> None:
    """The rest of its command line stays."""
    plain = handler_of(build(MANIFESTS / "base"))["containers"][0]["args"]
    changed = handler_of(build(overlay(tmp_path, {"components": ["vmi-status"]})))["containers"][0]["args"]
    assert (plain[0], changed[0]) == ("--publisher=auto", "--publisher=vmi-status")
    assert plain[1:] == changed[1:]


def test_with_polling_the_handler_has_agents_poll(tmp_path: Path) -> None:
    """With `vmi-status` too, and nothing else of its command line changes."""
    plain = handler_of(build(MANIFESTS / "base"))["containers"][0]["args"]
    changed = handler_of(build(overlay(tmp_path, {"components": ["polling", "vmi-status"]})))["containers"][0]["args"]
    assert changed == ["--publisher=vmi-status", *plain[1:], "--poll=usb-redirection=5s", "--poll=serial-console=5s"]


def test_the_dashboard_is_where_grafana_looks(tmp_path: Path) -> None:
    """A ConfigMap with its sidecar's label, under a fixed name."""
    built = build(overlay(tmp_path, {"components": ["monitoring"]}))
    board = one(built, "ConfigMap")
    assert board["metadata"]["name"] == "vmi-service-status-dashboard"
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["vmi-service-status.json"])["title"] == "VMI Service Status"


@pytest.mark.parametrize("component", ["handler", "controller", "webhook"])
def test_a_monitor_selects_the_port_of_its_program(tmp_path: Path, component: str) -> None:
    """By labels and by the port's name, which the workload's template has."""
    built = build(overlay(tmp_path, {"components": ["injection-webhook", "monitoring"]}))
    (monitor,) = (
        thing["spec"]
        for thing in built
        if thing["kind"] == "PodMonitor" and thing["metadata"]["name"] == f"vmi-service-status-{component}"
    )
    template = workload(built, component)["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["port"] == "metrics"
    assert endpoint["port"] in [port["name"] for port in template["spec"]["containers"][0]["ports"]]


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment"])
def test_only_labelled_namespaces_reach_metrics_and_no_pod_reaches_the_probes(objects: list[Object], kind: str) -> None:
    """The kubelet probes another port than the one that the policy opens."""
    policy, template = one(objects, "NetworkPolicy")["spec"], one(objects, kind)["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress"]
    selector = {"matchLabels": {"servicestatus.kubevirt.io/metrics": "true"}}
    assert policy["ingress"] == [{"from": [{"namespaceSelector": selector}], "ports": [{"port": "metrics"}]}]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports.keys() == {"probes", "metrics"}
    for name, flag in (("probes", "--probe-address"), ("metrics", "--metrics-address")):
        assert f"{flag}=:{ports[name]}" in container["args"]
    probed = {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probed == {"probes"}


def test_the_controller_is_confined(objects: list[Object]) -> None:
    """No root, no capability, nothing of the node."""
    spec = one(objects, "Deployment")["spec"]["template"]["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 107,
        "runAsGroup": 107,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == CONFINED
    assert spec.keys().isdisjoint({"volumes", "hostNetwork", "hostPID", "hostIPC"})


def test_a_rolling_update_leaves_a_controller_that_has_seen_every_lease(objects: list[Object]) -> None:
    """A replica knows of an expiry 30 s after its start; until then the former one stays."""
    spec = one(objects, "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["minReadySeconds"] > 30
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
