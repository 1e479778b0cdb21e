"""What a cluster may choose for its agents, by the LauncherAgentTemplate."""

from collections.abc import Callable, Iterator

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.injection.pods import AGENT, Cluster, agents_of, launcher
from tests.apiserver.injection.policies import IN_FORCE, TEMPLATE, kept_template
from tests.cluster.objects import Object


@pytest.fixture
def template(cluster: Cluster, client: Client) -> Iterator[Callable[[Object], None]]:
    """Change the template's container; restore it afterwards."""

    def change(fields: Object) -> None:
        changed = client.get(TEMPLATE)
        changed["spec"]["containers"][0].update(fields)
        client.put(TEMPLATE, changed)

    with kept_template(client):
        yield change
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
