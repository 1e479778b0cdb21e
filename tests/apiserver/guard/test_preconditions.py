"""How the API server answers a request whose precondition no longer holds.

The handler maps these answers to outcomes. They are the API server's own words: a release that changes them fails here
first.
"""

import pytest

from tests.apiserver.guard.requests import CONFLICT, HERE, NOT_FOUND, UNPROCESSABLE, status_of, status_patch
from tests.apiserver.identities import Answer, Handler, companion_of
from tests.cluster.objects import Object


def said(answer: Answer) -> tuple[int, str, str]:
    return answer.code, answer.reason, answer.message


@pytest.mark.parametrize(
    "test",
    [
        {"op": "test", "path": "/metadata/uid", "value": "another"},
        {"op": "test", "path": "/status/nodeName", "value": "another"},
        {"op": "test", "path": "/status/absent", "value": "another"},
    ],
    ids=lambda test: test["path"],
)
def test_a_patch_whose_proof_fails_is_unprocessable(here: Handler, there: Handler, vmi: Object, test: Object) -> None:
    """No policy is evaluated before that, so the answer is the same for a VMI of another node."""
    patch = [test, *status_patch(vmi, HERE, 1)]
    for handler in (here, there):
        answer = handler.json_patch(vmi, patch)
        assert said(answer) == (
            UNPROCESSABLE,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
        assert answer.body["details"] == {}


def test_a_status_over_a_state_that_was_not_seen_is_a_conflict(here: Handler, companion: Object) -> None:
    """Another client wrote in between; its write stays."""
    here.write_status(companion, status_of(companion, HERE, vncSessions=1)).taken()
    answer = here.write_status(companion, status_of(companion, HERE, vncSessions=2))
    assert said(answer) == (
        CONFLICT,
        "Conflict",
        'Operation cannot be fulfilled on virtualmachineinstanceservicestatuses.servicestatus.kubevirt.io "vm": '
        "the object has been modified; please apply your changes to the latest version and try again",
    )


def test_deleting_the_successor_of_what_was_meant_is_a_conflict(here: Handler, companion: Object) -> None:
    """Under the same name, the object now has another UID."""
    answer = here.delete(companion, uid="former")
    assert said(answer) == (
        CONFLICT,
        "Conflict",
        'Operation cannot be fulfilled on VirtualMachineInstanceServiceStatus.servicestatus.kubevirt.io "vm": the UID '
        f"in the precondition (former) does not match the UID in record ({companion['metadata']['uid']}). The object "
        "might have been deleted and then recreated",
    )


def test_creating_what_is_there_is_a_conflict_of_another_reason(here: Handler, companion: Object, vmi: Object) -> None:
    """The reason distinguishes it from a write with an old resource version."""
    answer = here.create(companion_of(vmi, HERE))
    assert said(answer) == (
        CONFLICT,
        "AlreadyExists",
        'virtualmachineinstanceservicestatuses.servicestatus.kubevirt.io "vm" already exists',
    )


def test_nothing_is_written_to_what_is_gone(here: Handler, companion: Object) -> None:
    """And the write does not create it."""
    here.delete(companion).taken()
    gone = (
        NOT_FOUND,
        "NotFound",
        'virtualmachineinstanceservicestatuses.servicestatus.kubevirt.io "vm" not found',
    )
    assert said(here.write_status(companion, status_of(companion, HERE))) == gone
    assert said(here.take_over(companion, HERE)) == gone
    assert said(here.delete(companion)) == gone
