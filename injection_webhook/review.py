"""Reads an AdmissionReview and writes its answer. Pure.

Invariant: every answer allows the pod. What is not understood is allowed without a patch, and counted as failed: a VM
is never rejected because of the agent.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

from injection_webhook.injection import Decision, Object, Reason, decide

_API_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
_PODS: Final = {"group": "", "version": "v1", "resource": "pods"}
#: A UID of Kubernetes has 36 characters; a longer one is not repeated in the answer.
_MAX_UID: Final = 128
_UNKNOWN: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

INJECTED: Final = "injected"
LEFT_ALONE: Final = "left_alone"
FAILED: Final = "failed"
#: A request that cannot be understood, or that is too large to be read.
MALFORMED: Final = "malformed"
TOO_LARGE: Final = "too_large"
#: The creation of something else than a pod: the webhook's configuration was changed.
NOT_A_POD: Final = "not_a_pod"
_TEMPLATE: Final = (Reason.NO_TEMPLATE, Reason.UNUSABLE_TEMPLATE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a review ended, for metrics."""

    result: str
    reason: str = ""


#: All that there are, so that each is exported from the start.
OUTCOMES: Final = (
    Outcome(INJECTED),
    *(Outcome(FAILED if reason in _TEMPLATE else LEFT_ALONE, reason.value) for reason in Reason),
    Outcome(LEFT_ALONE, NOT_A_POD),
    *(Outcome(FAILED, reason) for reason in (MALFORMED, TOO_LARGE)),
)


def answer(body: bytes, template: Object | None) -> tuple[bytes, Outcome]:
    """Return the answer to a review and how it ended. `template` is None if there is none."""
    uid = ""
    try:
        review = json.loads(body)
        uid = _uid(review)
        outcome, patch = _reviewed(review, template)
    except _UNKNOWN:
        outcome, patch = Outcome(FAILED, MALFORMED), []
    response: Object = {"uid": uid, "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return json.dumps({"apiVersion": _API_VERSION, "kind": _KIND, "response": response}).encode(), outcome


def _uid(review: Any) -> str:
    uid = review["request"]["uid"]
    if not isinstance(uid, str) or not 0 < len(uid) <= _MAX_UID:
        raise ValueError("the request has no UID")
    return uid


def _reviewed(review: Any, template: Object | None) -> tuple[Outcome, list[Object]]:
    if review["apiVersion"] != _API_VERSION or review["kind"] != _KIND:
        raise ValueError("it is not an AdmissionReview of v1")
    request = review["request"]
    if request["resource"] != _PODS or request.get("subResource") or request["operation"] != "CREATE":
        return Outcome(LEFT_ALONE, NOT_A_POD), []
    return _outcome(decide(request["object"], template))


def _outcome(decision: Decision) -> tuple[Outcome, list[Object]]:
    if decision.reason is None:
        return Outcome(INJECTED), decision.patch
    return Outcome(FAILED if decision.reason in _TEMPLATE else LEFT_ALONE, decision.reason.value), []
