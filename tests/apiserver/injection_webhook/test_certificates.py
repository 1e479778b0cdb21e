"""Certificates that are replaced, foreign, expired, broken or missing: a pod always passes."""

import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from testbed.waiting import wait_until
from tests.apiserver.injection.pods import AGENT, Cluster, agents_of, launcher
from tests.apiserver.injection_webhook.reviews import answered, review
from tests.apiserver.webhooks import SERVER, Webhook, expired
from tests.cluster.control_plane import ControlPlane
from tests.cluster.pki import Authority


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
