"""The component injection-webhook and what goes with it, and the policy for Kyverno, contain what the docs promise."""

from pathlib import Path

import pytest

from tests.cluster.objects import Object
from tests.node.manifests import CONFINED, NAMESPACE, WEBHOOK, build, handler_of, one, overlay, workload


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
