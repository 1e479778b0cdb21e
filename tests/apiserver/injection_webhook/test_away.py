"""A webhook that is away, ends or is kept busy: pods start, and none waits for long."""

import contextlib
import signal
import socket
import ssl

import pytest

from testbed.waiting import wait_until
from tests.apiserver.injection.pods import AGENT, Cluster, agents_of, launcher
from tests.apiserver.injection.policies import IN_FORCE
from tests.apiserver.injection_webhook.reviews import answered, review
from tests.apiserver.webhooks import SERVER, Webhook


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
