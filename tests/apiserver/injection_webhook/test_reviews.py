"""Reviews that no API server sends, or that a changed configuration lets through: they change nothing."""

import json

import pytest

from tests.apiserver.client import ApiError
from tests.apiserver.injection.pods import INJECT, Cluster, launcher, named
from tests.apiserver.injection_webhook.reviews import answered, review
from tests.apiserver.webhooks import Webhook

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


def test_a_path_that_is_not_served_is_not_found(webhook: Webhook) -> None:
    """And no review is counted for it."""
    assert webhook.post(b"{}", "/mutate")[0] == 404


def test_the_error_of_a_refused_pod_is_not_the_webhooks(cluster: Cluster) -> None:
    """A pod that is invalid is refused with the words that it would have been refused with."""
    words = []
    for inject in ("true", "false"):
        with pytest.raises(ApiError) as refused:
            cluster.created({**launcher({INJECT: inject}, containers=[]), "metadata": named(inject)})
        words.append(str(refused.value))
    assert words[0] == words[1]
