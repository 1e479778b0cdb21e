"""Reviews as an API server sends them, and the webhook's answers."""

import json
from typing import Any

from tests.apiserver.webhooks import Webhook

REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}


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
