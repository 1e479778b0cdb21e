"""What the API server asks the webhook, beside the policy or in its place, and what the webhook itself may read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.identities import NAMESPACE
from tests.apiserver.injection.pods import AGENT, INJECT, OPTED_IN, Cluster, agents_of, launcher
from tests.apiserver.injection.policies import IN_FORCE, apply, as_list, built
from tests.apiserver.webhooks import WEBHOOK, Webhook
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object

CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/vmi-service-status-injection"


def test_policy_and_webhook_ask_about_the_same_pods(
    control_plane: ControlPlane, objects: list[Object], tmp_path: Path
) -> None:
    """Selectors, rules, conditions, and what happens when it fails."""
    (webhook,) = (one for thing in objects for one in thing.get("webhooks", ()))
    (policy,) = (
        thing["spec"]
        for thing in built(control_plane, tmp_path, "injection")
        if thing["kind"] == "MutatingAdmissionPolicy"
    )
    asked = policy["matchConstraints"]
    assert webhook["namespaceSelector"] == asked["namespaceSelector"]
    assert webhook["objectSelector"] == asked["objectSelector"]
    assert webhook["rules"] == [{**rule, "scope": "Namespaced"} for rule in asked["resourceRules"]]
    assert webhook["matchConditions"] == policy["matchConditions"]
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == ("Ignore", 2)
    assert webhook["reinvocationPolicy"] == policy["reinvocationPolicy"] == "IfNeeded"
    assert webhook["sideEffects"] == "None"


def test_with_opt_in_only_those_who_ask_get_the_agent(opt_in: Cluster) -> None:
    """`true` on the pod or on its namespace asks for it; `false` on either forbids it."""
    namespaces = {value: opt_in.create_namespace({INJECT: value} if value else {}) for value in (None, "true", "false")}
    agents = {
        (on_namespace, on_pod): agents_of(
            namespaces[on_namespace].created(launcher({INJECT: on_pod} if on_pod else {}))
        )
        for on_namespace, on_pod in OPTED_IN
    }
    assert agents == {labels: [AGENT] if injected else [] for labels, injected in OPTED_IN.items()}


@pytest.fixture
def opt_in(control_plane: ControlPlane, admin: Client, webhook: Webhook, tmp_path: Path) -> Iterator[Cluster]:
    """The configuration of the component `injection-webhook-opt-in` in the place of the other."""
    before = admin.get(CONFIGURATION)
    objects = built(control_plane, tmp_path, "injection-webhook-opt-in")
    (configuration,) = (thing for thing in objects if thing["kind"] == "MutatingWebhookConfiguration")
    cluster = Cluster(admin, "default")
    _configure(admin, webhook.pointed_to(configuration)["webhooks"])
    wait_until(
        lambda: [bool(agents_of(cluster.created(launcher(labels)))) for labels in ({}, {INJECT: "true"})],
        lambda seen: seen == [False, True],
        what="only those who ask are injected",
        interval=IN_FORCE,
    )
    yield cluster
    _configure(admin, before["webhooks"])
    wait_until(lambda: agents_of(cluster.created(launcher())), what="all are injected again", interval=IN_FORCE)


def _configure(admin: Client, webhooks: list[Object]) -> None:
    admin.put(CONFIGURATION, {**admin.get(CONFIGURATION), "webhooks": webhooks})


def test_with_the_policy_beside_it_a_pod_gets_one_agent(
    cluster: Cluster, webhook: Webhook, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Policies run first; then the webhook's conditions do not hold, and it is not asked."""
    component = built(control_plane, tmp_path, "injection")
    policy = [thing for thing in component if thing["kind"].startswith("MutatingAdmission")]
    apply(control_plane, policy)

    def asked() -> tuple[list[Object], float]:
        before = webhook.reviews("injected")
        return agents_of(cluster.created(launcher())), webhook.reviews("injected") - before

    try:
        agents, reviews = wait_until(asked, lambda seen: seen[1] == 0, what="the policy is in force", interval=IN_FORCE)
        assert agents == [AGENT]
        assert reviews == 0
    finally:
        control_plane.kubectl("delete", "--filename=-", input=as_list(policy))
        wait_until(asked, lambda seen: seen[1] == 1, what="the webhook is asked again", interval=IN_FORCE)


def test_the_webhook_may_read_that_template_and_nothing_else(control_plane: ControlPlane, webhook: Webhook) -> None:
    """Beyond what any account of the cluster may: no Secret, no pod, no other template, and it changes nothing."""

    def rights(account: str) -> set[str]:
        user = (f"--as=system:serviceaccount:{NAMESPACE}:{account}", f"--namespace={NAMESPACE}")
        listed = control_plane.kubectl("auth", "can-i", "--list", "--no-headers", *user)
        return {" ".join(line.split()) for line in listed.splitlines()}

    own = "launcheragenttemplates.servicestatus.kubevirt.io [] [vmi-service-status-launcher-agent] [list watch]"
    assert rights(WEBHOOK) - rights("default") == {own}
