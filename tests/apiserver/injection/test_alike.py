"""The policy and the webhook are two programs for one mutation: the same pods come out of both.

One API server is asked what would become of each pod, first with the policy in force, then with the webhook. What it
would store is compared as a whole; where it refuses a pod, its words are.
"""

import copy
import json
import re
from collections.abc import Iterator

import pytest

from tests.apiserver.client import ApiError, Client
from tests.apiserver.injection.corpus import corpus
from tests.apiserver.injection.pods import INJECT, Cluster, agents_of, launcher
from tests.apiserver.injection.policies import Injection, apply, built, pointed, rights_in
from tests.apiserver.webhooks import Webhook
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object

PODS = corpus()
# What no two creations have in common, and what says who wrote it.
VOLATILE = ("uid", "creationTimestamp", "managedFields", "resourceVersion")
PREFIX = "kube-api-access-"
Results = dict[str, Object | str]


@pytest.fixture(scope="module")
def plain(control_plane: ControlPlane, admin: Client) -> Results:
    """Without either, before the others."""
    return _created(admin)


@pytest.fixture(scope="module")
def by_policy(
    control_plane: ControlPlane, admin: Client, plain: Results, tmp_path_factory: pytest.TempPathFactory
) -> Results:
    objects = full(built(control_plane, tmp_path_factory.mktemp("policy"), "injection"))
    with Injection(control_plane, admin, objects, launcher(), launcher({INJECT: "false"})):
        return _created(admin)


@pytest.fixture(scope="module")
def webhook(
    control_plane: ControlPlane, by_policy: Results, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webhook]:
    folder = tmp_path_factory.mktemp("webhook")
    objects = built(control_plane, folder, "injection-webhook")
    apply(control_plane, rights_in(objects))
    with Webhook(control_plane, folder) as running:
        yield running


@pytest.fixture(scope="module")
def by_webhook(
    control_plane: ControlPlane, admin: Client, webhook: Webhook, tmp_path_factory: pytest.TempPathFactory
) -> Results:
    objects = built(control_plane, tmp_path_factory.mktemp("configuration"), "injection-webhook")
    with Injection(control_plane, admin, full(pointed(objects, webhook)), launcher(), launcher({INJECT: "false"})):
        return _created(admin)


def full(objects: list[Object]) -> list[Object]:
    """With a template that chooses all there is to choose, and has numbers for amounts."""
    (template,) = (thing for thing in objects if thing["kind"] == "LauncherAgentTemplate")
    spec = template["spec"]
    spec["imagePullSecrets"] = [{"name": "registry"}, {"name": "mirror"}]
    spec["containers"][0]["args"] = ["--log-level=debug"]
    spec["containers"][0]["resources"] = {
        "requests": {"cpu": "10m", "memory": 33554432, "ephemeral-storage": "1e6"},
        "limits": {"cpu": 1, "memory": "64Mi", "ephemeral-storage": 1000000},
    }
    return objects


def _created(client: Client) -> Results:
    return {what: _outcome(Cluster(client, "default"), pod) for what, pod in PODS.items()}


def _outcome(cluster: Cluster, pod: Object) -> Object | str:
    try:
        created = cluster.created(copy.deepcopy(pod))
    except ApiError as error:
        # The faults of a pod are listed in no order.
        return " ".join(sorted(re.split(r"[ ,\[\]]+", str(error))))
    for field in VOLATILE:
        created["metadata"].pop(field, None)
    # The volume of a token has a name by chance.
    text = json.dumps(created, sort_keys=True)
    for volume in created["spec"].get("volumes", []):
        if volume["name"].startswith(PREFIX):
            text = text.replace(volume["name"], PREFIX)
    alike: Object = json.loads(text)
    return alike


@pytest.mark.parametrize("what", PODS)
def test_a_pod_becomes_the_same_by_the_policy_and_by_the_webhook(
    by_policy: Results, by_webhook: Results, what: str
) -> None:
    """Containers, volumes, secrets, resources, their order; or the words of a refusal."""
    assert by_webhook[what] == by_policy[what]


def test_the_corpus_has_pods_of_every_kind(plain: Results, by_policy: Results, webhook: Webhook) -> None:
    """Or the comparison would say little."""
    taken = {what: pod for what, pod in by_policy.items() if isinstance(pod, dict)}
    injected = [what for what, pod in taken.items() if agents_of(pod)]
    assert len(injected) >= 80
    assert len([what for what in taken if what not in injected]) >= 20
    assert len(by_policy) - len(taken) >= 5
    assert len([what for what in injected if taken[what]["status"]["qosClass"] == "Guaranteed"]) >= 5
    # A pod that is refused is refused without an agent too.
    assert [what for what in PODS if isinstance(by_policy[what], str) != isinstance(plain[what], str)] == []


def test_the_webhook_understood_each_review(by_webhook: Results, webhook: Webhook) -> None:
    """None was malformed; pods whose conditions do not hold were not asked about."""
    assert webhook.reviews("failed", "malformed") == 0
    assert webhook.reviews("left_alone", "has_agent") == 0
    assert webhook.reviews("left_alone", "no_libvirt") == 0
    assert webhook.reviews("injected") >= 80
