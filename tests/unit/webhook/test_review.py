"""The answer to a review: allowed, whatever was asked."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from injection_webhook.review import FAILED, INJECTED, LEFT_ALONE, MALFORMED, NOT_A_POD, OUTCOMES, Outcome, answer
from tests.unit.webhook.test_injection import JSON, LAUNCHER, TEMPLATE

PODS = {"group": "", "version": "v1", "resource": "pods"}
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {"uid": "u", "resource": PODS, "operation": "CREATE", "object": LAUNCHER},
}


def answered(body: Any) -> tuple[Any, Outcome]:
    text, outcome = answer(json.dumps(body).encode(), TEMPLATE)
    return json.loads(text), outcome


def test_an_injected_pod_is_answered_with_a_patch() -> None:
    """In the form of admission.k8s.io/v1."""
    review, outcome = answered(REVIEW)
    patch = json.loads(base64.b64decode(review["response"].pop("patch")))
    assert patch[-1]["path"] == "/spec/initContainers/-"
    assert review == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u", "allowed": True, "patchType": "JSONPatch"},
    }
    assert outcome == Outcome(INJECTED)


def test_another_creation_is_allowed_without_a_patch() -> None:
    """Of another kind, of another version, or no creation."""
    for change in ({"operation": "DELETE"}, {"subResource": "status"}, {"resource": {**PODS, "version": "v2"}}):
        review, outcome = answered({**REVIEW, "request": {**REVIEW["request"], **change}})  # type: ignore[dict-item]
        assert review["response"] == {"uid": "u", "allowed": True}
        assert outcome == Outcome(LEFT_ALONE, NOT_A_POD)


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(body: bytes) -> None:
    """And counted."""
    text, outcome = answer(body, TEMPLATE)
    assert json.loads(text)["response"] == {"uid": "", "allowed": True}
    assert outcome == Outcome(FAILED, MALFORMED)


@given(st.sampled_from([None, *REVIEW, "uid", "resource", "operation", "object"]), JSON)
def test_any_json_is_allowed(field: str | None, value: Any) -> None:
    """With an outcome that metrics know."""
    review: Any = json.loads(json.dumps(REVIEW))
    if field is None:
        review = value
    else:
        (review if field in REVIEW else review["request"])[field] = value
    response, outcome = answered(review)
    assert response["response"]["allowed"] is True
    assert outcome in OUTCOMES
