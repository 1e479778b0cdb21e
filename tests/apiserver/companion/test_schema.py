"""What the schema of a companion takes and refuses."""

from collections.abc import Iterator

import pytest
import yaml

from tests.apiserver.companion.statuses import (
    CONSOLE_UNWATCHED,
    IDLE_NOW,
    SILENT,
    USB_WATCHED,
    WATCHED,
    WATCHING,
    condition,
    write,
)
from tests.apiserver.identities import User, companion_of
from tests.cluster.kinds import CRD
from tests.cluster.objects import Object

UNPROCESSABLE = 422


def test_a_whole_status_is_kept_as_it_was_written(root: User, vmi: Object, companion: Object) -> None:
    """Nothing that the handler writes is pruned or changed."""
    status = {
        "vncSessions": 2,
        "usbRedirections": 4,
        "consoleSessions": 1,
        "spiceSessions": 65535,
        "since": "2026-08-22T10:00:00Z",
        "nodeName": "n1",
        "vmiUID": vmi["metadata"]["uid"],
        "conditions": [WATCHING, WATCHED, USB_WATCHED, CONSOLE_UNWATCHED],
    }
    assert write(root, companion, status).taken()["status"] == status


def test_the_number_is_absent_again_when_it_is_set_to_null(root: User, companion: Object) -> None:
    """At zero the field is absent, not 0; a merge patch sets it to null."""
    write(root, companion, {"vncSessions": 1, "nodeName": "n1"}).taken()
    assert write(root, companion, {"vncSessions": None}).taken()["status"] == {"nodeName": "n1"}


REFUSED = {
    "a negative count": ({"vncSessions": -1}, "vncSessions in body should be greater than or equal to 0"),
    "an absurd count": ({"vncSessions": 65536}, "vncSessions in body should be less than or equal to 65535"),
    "an absurd count of devices": ({"usbRedirections": 65536}, "usbRedirections in body should be less than or equal"),
    "a negative count of consoles": (
        {"consoleSessions": -1},
        "consoleSessions in body should be greater than or equal",
    ),
    "a count of SPICE clients in words": ({"spiceSessions": "one"}, "spiceSessions in body must be of type integer:"),
    "more conditions than there are services": (
        {"conditions": [condition(f"C{number}", "True", "R") for number in range(9)]},
        "status.conditions: Too many: 9: must have at most 8 items",
    ),
    "half a session": ({"vncSessions": 0.5}, "vncSessions in body must be of type int32:"),
    "a count in words": ({"vncSessions": "one"}, "vncSessions in body must be of type integer:"),
    "a time that is none": ({"since": "yesterday"}, "since in body must be of type date-time:"),
    "a node's name that cannot be one": ({"nodeName": "n" * 254}, "status.nodeName: Too long"),
    "another VMI": ({"vmiUID": "another"}, "the status is that of another VMI than the one the spec names"),
    "a condition that is maybe": (
        {"conditions": [{**WATCHING, "status": "Maybe"}]},
        'Unsupported value: "Maybe": supported values: "True", "False", "Unknown"',
    ),
    "a condition without a reason": (
        {"conditions": [{**WATCHING, "reason": ""}]},
        "conditions[0].reason in body should be at least 1 chars long",
    ),
    "a reason that is a sentence": (
        {"conditions": [{**WATCHING, "reason": "It watches."}]},
        "conditions[0].reason in body should match",
    ),
    "one condition twice": ({"conditions": [WATCHING, WATCHING]}, 'status.conditions[1]: Duplicate value: {"type":"Ob'),
    "idle with a viewer connected": (
        {"vncSessions": 1, "conditions": [WATCHING, IDLE_NOW]},
        "Idle is True only where vncSessions is absent or 0 and Observed is True",
    ),
    "idle and not observed": (
        {"conditions": [SILENT, IDLE_NOW]},
        "Idle is True only where vncSessions is absent or 0 and Observed is True",
    ),
    "idle without the condition Observed": (
        {"conditions": [IDLE_NOW]},
        "Idle is True only where vncSessions is absent or 0 and Observed is True",
    ),
}

# How an API server of 1.30 says it; no other one's message contains these words.
IN_1_30 = {
    "status.conditions: Too many: 9: must have at most 8 items": "[conditions: Too many: 9: must have at most 8 items",
    "vncSessions in body must be of type int32:": 'vncSessions in body must be of type integer: "number"',
    "status.nodeName: Too long": "[nodeName: Too long",
    'status.conditions[1]: Duplicate value: {"type":"Ob': 'Duplicate value: map[string]interface {}{"type":"Ob',
}


@pytest.mark.parametrize(("status", "message"), REFUSED.values(), ids=REFUSED)
def test_a_status_is_refused_with(root: User, companion: Object, status: Object, message: str) -> None:
    """For every writer: the schema has no exceptions."""
    answer = write(root, companion, status)
    assert (answer.code, answer.reason) == (UNPROCESSABLE, "Invalid")
    assert message in answer.message or IN_1_30.get(message, message) in answer.message


@pytest.mark.parametrize("spec", [{}, None, {"vmiUID": ""}, {"vmiUID": 5}, {"vmiUID": "u" * 37}])
def test_a_companion_without_a_proper_uid_is_refused(root: User, vmi: Object, spec: object) -> None:
    """Every companion names the UID of its VMI."""
    answer = root.create({**companion_of(vmi, "n1"), "spec": spec})
    assert (answer.code, answer.reason) == (UNPROCESSABLE, "Invalid")
    assert "spec" in answer.message


def test_a_companion_never_becomes_that_of_another_vmi(root: User, companion: Object) -> None:
    """spec.vmiUID is immutable."""
    answer = root.merge_patch(companion, {"spec": {"vmiUID": "another"}})
    assert answer.code == UNPROCESSABLE
    assert "a companion is about one VMI only" in answer.message


def test_the_status_is_written_through_its_subresource_only(root: User, vmi: Object) -> None:
    """Neither a create nor a patch of the main resource can set it."""
    created = root.create({**companion_of(vmi, "n1"), "status": {"vncSessions": 1}}).taken()
    assert "status" not in created
    assert "status" not in root.merge_patch(created, {"status": {"vncSessions": 1}}).taken()


def test_every_field_is_described() -> None:
    """`kubectl explain` prints a description of each field."""
    (version,) = yaml.safe_load((CRD / "companion.yaml").read_text())["spec"]["versions"]
    undescribed = [path for path, field in fields(version["schema"]["openAPIV3Schema"]) if "description" not in field]
    assert undescribed == [".metadata"]  # the API server describes it itself


def fields(schema: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(field, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")
