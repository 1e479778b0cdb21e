"""The webhook takes the LauncherAgentTemplate as it is when a pod is created."""

import copy
from collections.abc import Iterator

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.injection.pods import AGENT, Cluster, agents_of, launcher
from tests.apiserver.injection.policies import IN_FORCE, TEMPLATE, kept_template
from tests.apiserver.webhooks import Webhook
from tests.cluster.objects import Object


@pytest.fixture
def template(cluster: Cluster, admin: Client) -> Iterator[Object]:
    """As it is now; afterwards it is so again."""
    with kept_template(admin) as original:
        yield original
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
