"""The manifests: a real API server accepts them without a warning, and they contain what the docs promise."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.builds.images import REGISTRY
from tests.cluster.commands import run
from tests.cluster.kinds import CRD, define_kinds
from tests.cluster.objects import Object
from tests.cluster.tools import REPOSITORY, tool
from tests.cluster.workloads import Workloads

MANIFESTS = REPOSITORY / "manifests"
NAMESPACE = "vmi-service-status"


def build(kustomization: Path) -> list[Object]:
    """Return the objects, as `kubectl kustomize` makes them."""
    return list(yaml.safe_load_all(run(tool("kubectl"), "kustomize", kustomization)))


def overlay(folder: Path, content: Object, *, base: str = "base") -> Path:
    """A kustomization of an admin's own; `components` are the project's, by name."""
    where = {"resources": [os.path.relpath(MANIFESTS / base, folder)]}
    if components := content.pop("components", None):
        where["components"] = [os.path.relpath(MANIFESTS / "components" / name, folder) for name in components]
    (folder / "kustomization.yaml").write_text(json.dumps(where | content))
    return folder


def workload(objects: list[Object], component: str) -> Object:
    """The DaemonSet or Deployment of one of the programs."""
    (found,) = (
        thing
        for thing in objects
        if thing["kind"] in ("DaemonSet", "Deployment")
        and thing["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )
    return found


def one(objects: list[Object], kind: str) -> Object:
    (found,) = (thing for thing in objects if thing["kind"] == kind)
    return found


def images_in(thing: Any) -> Iterator[str]:
    """Return every image that an object names, in any field."""
    if isinstance(thing, dict):
        if isinstance(thing.get("image"), str):
            yield thing["image"]
        for value in thing.values():
            yield from images_in(value)
    if isinstance(thing, list):
        for value in thing:
            yield from images_in(value)


def handler_of(objects: list[Object]) -> Object:
    spec: Object = one(objects, "DaemonSet")["spec"]["template"]["spec"]
    return spec


ALL = [
    "injection",
    "injection-opt-in",
    "injection-webhook",
    "injection-webhook-opt-in",
    "vmi-status",
    "polling",
    "guard-companion-owner",
    "monitoring",
    "selinux",
    "openshift",
]
KINDS = REPOSITORY / "tests/cluster/manifests"
OPERATOR = KINDS / "prometheus-operator"
WEBHOOK = "injection-webhook"
#: The securityContext of each container of ours.
CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture
def objects() -> list[Object]:
    """The overlay for a stock KubeVirt."""
    return build(MANIFESTS / "overlays" / "kubevirt")


# --- accepted ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project_namespace(cluster: Workloads) -> Iterator[None]:
    """A dry run does not see a namespace or a kind that is only in the run."""
    before = cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name")
    if not before:
        define_kinds(cluster.kubectl)
        cluster.kubectl("create", "namespace", NAMESPACE)
    yield
    if not before:
        cluster.kubectl("delete", "namespace", NAMESPACE)
        cluster.kubectl.delete("-k", CRD)


@pytest.fixture(scope="module")
def operator_kinds(cluster: Workloads) -> Iterator[None]:
    """PodMonitor and PrometheusRule: their CRDs without a schema, unless the operator that uses them is here."""
    if cluster.kubectl("get", "crd", "podmonitors.monitoring.coreos.com", "--ignore-not-found", "--output=name"):
        yield
        return
    cluster.kubectl("apply", "--server-side", "-k", OPERATOR)
    kinds = [f"crd/{kind}.monitoring.coreos.com" for kind in ("podmonitors", "prometheusrules")]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *kinds)
    yield
    cluster.kubectl.delete("-k", OPERATOR)


@pytest.fixture(scope="module")
def other_kinds(cluster: Workloads) -> Iterator[None]:
    """Those of OpenShift and of cert-manager, neither of which is here."""
    for folder in ("openshift", "cert-manager"):
        cluster.kubectl("apply", "--server-side", "-k", KINDS / folder)
    kinds = (
        "securitycontextconstraints.security.openshift.io",
        "certificates.cert-manager.io",
        "issuers.cert-manager.io",
    )
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{kind}" for kind in kinds))
    yield
    for folder in ("openshift", "cert-manager"):
        cluster.kubectl.delete("-k", KINDS / folder)


@pytest.mark.parametrize("name", ["kubevirt", "kubevirt-webhook", "test-node"])
def test_an_overlay_is_accepted(cluster: Workloads, project_namespace: None, name: str) -> None:
    """Every object is valid, and none causes a warning about a Pod Security Standard or an old version."""
    dry = ("apply", "--server-side", "--dry-run=server", "--warnings-as-errors")
    applied = cluster.kubectl(*dry, "-k", MANIFESTS / "overlays" / name)
    assert "daemonset.apps/vmi-service-status-handler serverside-applied (server dry run)\n" in applied


@pytest.mark.parametrize(
    "components",
    [
        *([component] for component in ALL),
        ["injection", WEBHOOK],
        [WEBHOOK, f"{WEBHOOK}/cert-manager"],
        [f"{WEBHOOK}-opt-in", f"{WEBHOOK}/cert-manager"],
        ["openshift", WEBHOOK, f"{WEBHOOK}/openshift"],
    ],
    ids="+".join,
)
def test_components_are_accepted(
    cluster: Workloads,
    project_namespace: None,
    operator_kinds: None,
    other_kinds: None,
    components: list[str],
    tmp_path: Path,
) -> None:
    """On the base."""
    folder = overlay(tmp_path, {"components": components})
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "--warnings-as-errors", "-k", folder)


# --- names and labels -------------------------------------------------------------------------------------------------


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


# --- what they promise ------------------------------------------------------------------------------------------------


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


# --- the webhook ------------------------------------------------------------------------------------------------------


@pytest.fixture
def webhook(tmp_path: Path) -> list[Object]:
    """The component, upon the base."""
    return build(overlay(tmp_path, {"components": [WEBHOOK]}))


def test_no_webhook_stands_in_a_vms_way(tmp_path: Path) -> None:
    """Whatever fails in it, the pod is created, and no later than after 2 s; with opt-in too."""
    for number, component in enumerate((WEBHOOK, f"{WEBHOOK}-opt-in")):
        (folder := tmp_path / str(number)).mkdir()
        webhooks = one(build(overlay(folder, {"components": [component]})), "MutatingWebhookConfiguration")["webhooks"]
        assert len(webhooks) == number + 1
        for hook in webhooks:
            assert (hook["failurePolicy"], hook["timeoutSeconds"], hook["sideEffects"]) == ("Ignore", 2, "None")
            assert hook["matchConditions"] == webhooks[0]["matchConditions"]
            assert hook["rules"] == webhooks[0]["rules"]
            assert hook["clientConfig"] == webhooks[0]["clientConfig"]


def test_the_configuration_leads_to_the_program(webhook: list[Object]) -> None:
    """By the Service, its port, the name of the container's port and the path."""
    service, deployment = one(webhook, "Service"), workload(webhook, "webhook")
    (hook,) = one(webhook, "MutatingWebhookConfiguration")["webhooks"]
    asked = hook["clientConfig"]["service"]
    assert (asked["name"], asked["namespace"]) == (service["metadata"]["name"], service["metadata"]["namespace"])
    (port,) = service["spec"]["ports"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {named["name"]: named["containerPort"] for named in container["ports"]}
    assert asked["port"] == port["port"]
    assert f"--address=:{ports[port['targetPort']]}" in container["args"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_the_webhook_is_confined(webhook: list[Object]) -> None:
    """No root, no capability, nothing of the node, and one Secret."""
    spec = workload(webhook, "webhook")["spec"]["template"]["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 107,
        "runAsGroup": 107,
        "fsGroup": 107,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == CONFINED
    assert [volume.keys() for volume in spec["volumes"]] == [{"name", "secret"}]
    assert spec.keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC"})


def test_one_replica_of_the_webhook_is_always_there(webhook: list[Object]) -> None:
    """In a rolling update, and while nodes are drained; one that is not ready holds no drain up."""
    deployment = workload(webhook, "webhook")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (budget,) = (
        thing["spec"]
        for thing in webhook
        if thing["kind"] == "PodDisruptionBudget" and thing["metadata"]["name"] == "vmi-service-status-webhook"
    )
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert budget["selector"] == deployment["selector"]
    assert deployment["template"]["spec"]["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"


def test_a_certificate_is_made_for_the_services_name(tmp_path: Path) -> None:
    """By cert-manager, in the Secret that is mounted, under an authority that outlives it."""
    objects = build(overlay(tmp_path, {"components": [WEBHOOK, f"{WEBHOOK}/cert-manager"]}))
    by_name = {thing["metadata"]["name"]: thing["spec"] for thing in objects if thing["kind"] == "Certificate"}
    served, authority = by_name["vmi-service-status-webhook"], by_name["vmi-service-status-webhook-ca"]
    (volume,) = workload(objects, "webhook")["spec"]["template"]["spec"]["volumes"]
    assert served["dnsNames"] == ["vmi-service-status-webhook.vmi-service-status.svc"]
    assert served["secretName"] == volume["secret"]["secretName"]
    assert (authority["isCA"], served.get("isCA", False)) == (True, False)
    issuers = {thing["metadata"]["name"]: thing["spec"] for thing in objects if thing["kind"] == "Issuer"}
    assert issuers[served["issuerRef"]["name"]] == {"ca": {"secretName": authority["secretName"]}}
    annotations = one(objects, "MutatingWebhookConfiguration")["metadata"]["annotations"]
    assert annotations == {"cert-manager.io/inject-ca-from": "vmi-service-status/vmi-service-status-webhook"}


def test_openshift_admits_what_runs_there(tmp_path: Path) -> None:
    """The handler by an SCC of its own, in its SELinux domain; the others by one of OpenShift's."""
    objects = build(overlay(tmp_path, {"components": ["openshift", WEBHOOK, f"{WEBHOOK}/openshift"]}))
    scc, handler = one(objects, "SecurityContextConstraints"), handler_of(objects)
    assert scc["users"] == [f"system:serviceaccount:{NAMESPACE}:{handler['serviceAccountName']}"]
    assert scc["seLinuxContext"]["seLinuxOptions"] == handler["securityContext"]["seLinuxOptions"]
    # The handler and its opener are two users.
    assert scc["runAsUser"] == {"type": "RunAsAny"}
    # A token is a projected volume, which the API server adds.
    assert set(scc["volumes"]) == {kind for volume in handler["volumes"] for kind in volume if kind != "name"} | {
        "projected"
    }
    (nonroot,) = (thing for thing in objects if thing["metadata"]["name"] == "vmi-service-status-nonroot")
    others = {
        workload(objects, name)["spec"]["template"]["spec"]["serviceAccountName"] for name in ("controller", "webhook")
    }
    assert {subject["name"] for subject in nonroot["subjects"]} == others
    assert one(objects, "Service")["metadata"]["annotations"] == {
        "service.beta.openshift.io/serving-cert-secret-name": "vmi-service-status-webhook"
    }
    annotations = one(objects, "MutatingWebhookConfiguration")["metadata"]["annotations"]
    assert annotations == {"service.beta.openshift.io/inject-cabundle": "true"}


def test_kyverno_gets_the_same_expressions(tmp_path: Path) -> None:
    """But for the one that finds the template; and no binding, which it does not know."""
    (tmp_path / "ours").mkdir()
    policy = one(build(overlay(tmp_path / "ours", {"components": ["injection"]})), "MutatingAdmissionPolicy")["spec"]
    objects = build(overlay(tmp_path, {"components": ["injection-kyverno"]}))
    theirs = one(objects, "MutatingPolicy")["spec"]
    assert [thing["kind"] for thing in objects if thing["kind"].startswith("MutatingAdmission")] == []
    for field in ("mutations", "matchConditions", "matchConstraints", "failurePolicy", "reinvocationPolicy"):
        assert theirs[field] == policy[field]
    assert theirs["variables"][1:] == policy["variables"][1:]
    template = one(objects, "LauncherAgentTemplate")["metadata"]
    assert f"'{template['namespace']}', '{template['name']}'" in theirs["variables"][0]["expression"]
