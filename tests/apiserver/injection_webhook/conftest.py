"""The webhook runs, and the API server asks it about launcher pods."""

import copy
from collections.abc import Iterator

import pytest

from tests.apiserver.client import Client
from tests.apiserver.injection.pods import INJECT, Cluster, launcher
from tests.apiserver.injection.policies import Injection, apply, built, pointed, rights_in
from tests.apiserver.webhooks import Webhook
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object


@pytest.fixture(scope="module")
def objects(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The component, and the template."""
    return built(control_plane, tmp_path_factory.mktemp("component"), "injection-webhook")


@pytest.fixture(scope="module")
def shared(
    control_plane: ControlPlane, objects: list[Object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webhook]:
    apply(control_plane, rights_in(objects))
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
