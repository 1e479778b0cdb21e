"""The webhook beside a real API server: what it is asked, what it answers, and that a pod always passes."""

import contextlib
import copy
import json
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.apiserver.identities import NAMESPACE
from tests.apiserver.test_injection import (
    AGENT,
    IN_FORCE,
    INJECT,
    TEMPLATE,
    TEMPLATES,
    Cluster,
    Injection,
    agents_of,
    built,
    launcher,
)
from tests.apiserver.test_injection_alike import apply, pointed
from tests.apiserver.webhooks import SERVER, WEBHOOK, Webhook, expired
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object
from tests.cluster.pki import Authority

CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/vmi-service-status-injection"
RIGHTS = ("ServiceAccount", "Role", "RoleBinding")
REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Iterator[Client]:
    with contextlib.closing(Client(control_plane.kubeconfig)) as client:
        yield client


@pytest.fixture(scope="module")
def objects(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The component, and the template."""
    return built(control_plane, tmp_path_factory.mktemp("component"), "injection-webhook")


@pytest.fixture(scope="module")
def shared(
    control_plane: ControlPlane, objects: list[Object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webhook]:
    apply(control_plane, [thing for thing in objects if thing["kind"] in RIGHTS])
    with Webhook(control_plane, tmp_path_factory.mktemp("webhook")) as running:
        yield running


@pytest.fixture(scope="module")
def injection(control_plane: ControlPlane, admin: Client, objects: list[Object], shared: Webhook) -> Iterator[None]:
    asking = pointed(copy.deepcopy(objects), shared)
    with Injection(control_plane, admin, asking, launcher(), launcher({INJECT: "false"})):
        yield


@pytest.fixture
def webhook(injection: None, shared: Webhook) -> Webhook:
    """Running, whatever the test before did."""
    if not shared.running:
        shared.start()
    return shared


@pytest.fixture
def cluster(webhook: Webhook, admin: Client) -> Cluster:
    return Cluster(admin, "default")


def review(pod: object, **fields: object) -> bytes:
    """What an API server sends for the creation of a pod."""
    resource = {"group": "", "version": "v1", "resource": "pods"}
    request = {"uid": "0b5e", "resource": resource, "operation": "CREATE", "object": pod, **fields}
    return json.dumps({**REVIEW, "request": request}).encode()


def answered(webhook: Webhook, body: bytes) -> Any:
    code, text = webhook.post(body)
    assert code == 200
    answer = json.loads(text)
    assert {key: answer[key] for key in REVIEW} == REVIEW
    return answer["response"]


# --- the same questions -----------------------------------------------------------------------------------------------


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


OPT_IN = {
    (None, None): False,
    (None, "true"): True,
    (None, "false"): False,
    ("true", None): True,
    ("true", "true"): True,
    ("true", "false"): False,
    ("false", None): False,
    ("false", "true"): False,
}


def test_with_opt_in_only_those_who_ask_get_the_agent(opt_in: Cluster) -> None:
    """`true` on the pod or on its namespace asks for it; `false` on either forbids it."""
    namespaces = {value: opt_in.create_namespace({INJECT: value} if value else {}) for value in (None, "true", "false")}
    agents = {
        (on_namespace, on_pod): agents_of(
            namespaces[on_namespace].created(launcher({INJECT: on_pod} if on_pod else {}))
        )
        for on_namespace, on_pod in OPT_IN
    }
    assert agents == {labels: [AGENT] if injected else [] for labels, injected in OPT_IN.items()}


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


# --- beside the policy ------------------------------------------------------------------------------------------------


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
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": policy})
        control_plane.kubectl("delete", "--filename=-", input=listed)
        wait_until(asked, lambda seen: seen[1] == 1, what="the webhook is asked again", interval=IN_FORCE)


# --- the template -----------------------------------------------------------------------------------------------------


@pytest.fixture
def template(cluster: Cluster, admin: Client) -> Iterator[Object]:
    """As it is now; afterwards it is so again."""
    original = admin.get(TEMPLATE)
    yield original
    fresh = {key: original["metadata"][key] for key in ("name", "namespace", "labels")}
    current = admin.find(TEMPLATE)
    if current is None:
        admin.post(TEMPLATES, {**original, "metadata": fresh})
    else:
        admin.put(TEMPLATE, {**original, "metadata": current["metadata"]})
    wait_until(lambda: agents_of(cluster.created(launcher())), lambda seen: seen == [AGENT], what="it is as it was")


def test_a_change_of_the_template_is_in_force_for_the_next_pod(
    cluster: Cluster, admin: Client, template: Object
) -> None:
    """Image, pull policy, arguments and resources; the rest of the container is not a matter of choice."""
    chosen = {"image": "registry.example/launcher-agent:1.2", "imagePullPolicy": "Always", "args": ["--query=never"]}
    changed = copy.deepcopy(template)
    changed["spec"]["containers"][0] |= {**chosen, "securityContext": {"runAsUser": 0}}
    admin.put(TEMPLATE, changed)
    wait_until(
        lambda: agents_of(cluster.created(launcher())),
        lambda seen: seen == [{**AGENT, **chosen}],
        what="the agent is as the template says",
        interval=IN_FORCE,
    )


def test_without_the_template_a_pod_is_created_as_it_is(
    cluster: Cluster, admin: Client, template: Object, webhook: Webhook
) -> None:
    """And a metric says why it has no agent."""
    admin.delete(TEMPLATE)
    wait_until(lambda: webhook.metric("template_present"), lambda seen: seen == 0, what="the webhook saw it go")
    before = webhook.reviews("failed", "no_template")
    assert agents_of(cluster.created(launcher())) == []
    assert webhook.reviews("failed", "no_template") == before + 1


def test_the_webhook_may_read_that_template_and_nothing_else(control_plane: ControlPlane, webhook: Webhook) -> None:
    """Beyond what any account of the cluster may: no Secret, no pod, no other template, and it changes nothing."""

    def rights(account: str) -> set[str]:
        user = (f"--as=system:serviceaccount:{NAMESPACE}:{account}", f"--namespace={NAMESPACE}")
        listed = control_plane.kubectl("auth", "can-i", "--list", "--no-headers", *user)
        return {" ".join(line.split()) for line in listed.splitlines()}

    own = "launcheragenttemplates.servicestatus.kubevirt.io [] [vmi-service-status-launcher-agent] [list watch]"
    assert rights(WEBHOOK) - rights("default") == {own}


# --- certificates -----------------------------------------------------------------------------------------------------


def test_no_review_is_lost_while_the_certificate_is_replaced(cluster: Cluster, webhook: Webhook) -> None:
    """Five times, while four clients create pods; the API server never sees a pair that does not fit together."""
    ended = Event()

    def create() -> list[int]:
        found = []
        while not ended.is_set():
            found.append(len(agents_of(cluster.created(launcher()))))
        return found

    with ThreadPoolExecutor(4) as clients:
        running = [clients.submit(create) for _ in range(4)]
        try:
            for number in range(5):
                before = webhook.reviews("injected")
                webhook.replace(webhook.pair(f"renewed-{number}"))
                wait_until(lambda: webhook.reviews("injected"), (before + 8).__lt__, what="pods are created")
        finally:
            ended.set()
        agents = [count for one in running for count in one.result()]
    assert set(agents) == {1}


def test_with_a_foreign_certificate_pods_start_without_an_agent(
    cluster: Cluster, webhook: Webhook, tmp_path: Path
) -> None:
    """The API server hangs up; that handshakes bring no reviews is what the alert sees."""
    with webhook.serving(Authority(tmp_path / "foreign").serving("foreign", [f"IP:{SERVER}"])):
        handshakes, reviews = webhook.metric("handshakes_total"), webhook.reviews("injected")
        assert agents_of(cluster.created(launcher())) == []
        assert webhook.metric("handshakes_total") > handshakes
        assert webhook.reviews("injected") == reviews
    assert agents_of(cluster.created(launcher())) == [AGENT]


def test_with_an_expired_certificate_pods_start_without_an_agent(
    cluster: Cluster, webhook: Webhook, tmp_path: Path
) -> None:
    """The replica is not ready, and a metric and a line of the log say when it expired."""
    with webhook.serving(expired(webhook.authority, tmp_path)):
        assert webhook.readiness() == 503
        assert agents_of(cluster.created(launcher())) == []
        webhook.wait_for_log("a certificate was loaded that is not valid now, but until 20")
        assert 0 < webhook.metric("certificate_expiry_timestamp_seconds") < time.time()


def test_a_broken_certificate_leaves_the_last_one_in_use(cluster: Cluster, webhook: Webhook, tmp_path: Path) -> None:
    """Half of one pair and half of another, as a tool might write them that is no kubelet."""
    one, other = webhook.pair("one"), webhook.pair("other")
    mixed = type(one)(one.certificate, other.key)
    webhook.secret.put(mixed)
    webhook.wait_for_log("cannot be loaded")
    assert agents_of(cluster.created(launcher())) == [AGENT]
    assert webhook.readiness() == 200
    webhook.replace(one)


def test_a_replica_without_a_certificate_waits_for_it(
    control_plane: ControlPlane, webhook: Webhook, tmp_path: Path
) -> None:
    """The pod runs, is not ready, and serves as soon as the Secret is there."""
    with Webhook(control_plane, tmp_path, has_certificate=False) as late:
        late.wait_for_log("no pod gets an agent until there is one")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            late.post(review(launcher()))
        late.secret.put(late.pair("first"))
        wait_until(late.readiness, lambda code: code == 200, what="it is ready")
        assert answered(late, review(launcher()))["allowed"] is True


# --- away -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_pods_start_without_an_agent_while_the_webhook_is_away(cluster: Cluster, webhook: Webhook, how: str) -> None:
    """The API server waits for as long as its configuration says, which is 2 s in ours."""
    if how == "frozen":
        webhook.freeze()
        assert agents_of(cluster.created(launcher())) == []
        webhook.thaw()
    else:
        webhook.stop()
        assert agents_of(cluster.created(launcher())) == []
        webhook.start()
    wait_until(lambda: agents_of(cluster.created(launcher())), what="pods are injected again", interval=IN_FORCE)


def test_it_answers_until_the_end_of_its_drain(webhook: Webhook) -> None:
    """From the signal on it is not ready, and the API servers that have not learned that yet are answered."""
    webhook.signal(signal.SIGTERM)
    wait_until(webhook.readiness, lambda code: code == 503, what="it is not ready")
    assert "patch" in answered(webhook, review(launcher()))
    assert webhook.wait() == 0


# --- what no API server sends -----------------------------------------------------------------------------------------


MALFORMED = {
    "nothing": b"",
    "half of an object": b"{",
    "no text": b"\xff\xfe",
    "nested too deeply": b"[" * 100_000,
    "null": b"null",
    "no request": b'{"kind": "AdmissionReview"}',
    "a UID that is a number": review(launcher(), uid=7),
    "a UID that is long": review(launcher(), uid="x" * 1000),
    "no pod": review(None),
    "a list": review([]),
    "a spec that is a text": review({**launcher(), "spec": "x"}),
    "a volume that is a number": review(launcher(volumes=[1])),
    "no containers": review(launcher(containers=None)),
    "v2": json.dumps({**json.loads(review(launcher())), "apiVersion": "admission.k8s.io/v2"}).encode(),
}


def test_what_is_not_understood_is_allowed_without_a_patch(webhook: Webhook) -> None:
    """And counted."""
    before = webhook.reviews("failed", "malformed")
    for what, body in MALFORMED.items():
        response = answered(webhook, body)
        assert response.pop("uid") in {"", "0b5e"}, what
        assert response == {"allowed": True}, what
    assert webhook.reviews("failed", "malformed") == before + len(MALFORMED)
    assert "Traceback" not in webhook.log_text()


OTHERS = [
    (review(launcher(), operation="UPDATE"), "not_a_pod"),
    (review(launcher(), subResource="ephemeralcontainers"), "not_a_pod"),
    (review(launcher({"kubevirt.io": "virt-handler"})), "not_a_launcher"),
    (review(launcher({INJECT: "false"})), "opted_out"),
    (review(launcher(volumes=[])), "no_libvirt"),
    (review(launcher(initContainers=[{"name": "launcher-agent"}])), "has_agent"),
]


def test_a_configuration_that_asks_about_other_pods_changes_none(webhook: Webhook) -> None:
    """An admin has changed the selectors or conditions."""
    reasons = [reason for _, reason in OTHERS]
    before = {reason: webhook.reviews("left_alone", reason) for reason in reasons}
    for body, reason in OTHERS:
        assert answered(webhook, body) == {"uid": "0b5e", "allowed": True}, reason
    after = {reason: webhook.reviews("left_alone", reason) for reason in reasons}
    assert after == {reason: number + reasons.count(reason) for reason, number in before.items()}


def test_a_review_of_more_than_1_mib_is_refused(webhook: Webhook) -> None:
    """No launcher pod is so large."""
    before = webhook.reviews("failed", "too_large")
    assert webhook.post(review({**launcher(), "x": "x" * (1 << 20)}))[0] == 413
    assert webhook.reviews("failed", "too_large") == before + 1


def test_a_review_of_less_than_1_mib_is_answered(webhook: Webhook) -> None:
    """However unlikely such a pod is."""
    assert "patch" in answered(webhook, review({**launcher(), "x": "x" * (3 << 18)}))


def test_connections_that_say_nothing_keep_no_review_out(cluster: Cluster, webhook: Webhook) -> None:
    """More than it admits at once, from a pod of the cluster."""
    tls = ssl.create_default_context(cafile=webhook.authority.ca.certificate)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            raw = stack.enter_context(socket.create_connection((SERVER, webhook.port), timeout=30))
            stack.enter_context(tls.wrap_socket(raw, server_hostname=SERVER))
            assert webhook.open_files() < 80
        assert agents_of(cluster.created(launcher())) == [AGENT]
    assert "Traceback" not in webhook.log_text()


def test_a_path_that_is_not_served_is_not_found(webhook: Webhook) -> None:
    """And no review is counted for it."""
    assert webhook.post(b"{}", "/mutate")[0] == 404


def test_the_error_of_a_refused_pod_is_not_the_webhooks(cluster: Cluster) -> None:
    """A pod that is invalid is refused with the words that it would have been refused with."""
    words = []
    for inject in ("true", "false"):
        with pytest.raises(ApiError) as refused:
            cluster.created({**launcher({INJECT: inject}, containers=[]), "metadata": _named(inject)})
        words.append(str(refused.value))
    assert words[0] == words[1]


def _named(inject: str) -> Object:
    return {"name": "virt-launcher-vm", "labels": {"kubevirt.io": "virt-launcher", INJECT: inject}}
