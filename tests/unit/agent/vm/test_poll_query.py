"""QEMU's answers about character devices and USB slots."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.errors import QueryError
from launcher_agent.vm import poll_query

ALIASES = ("redir0", "serial0")


def chardevs(**files: str) -> str:
    return json.dumps({"return": [{"label": f"char{alias}", "filename": file} for alias, file in files.items()]})


def test_a_device_is_connected_unless_qemu_calls_it_disconnected() -> None:
    answer = chardevs(redir0="unix:/run/a,server=on", serial0="disconnected:unix:/run/b,server=on", monitor="unix:/m")
    assert poll_query.connected(answer, ALIASES) == {"redir0"}
    answer = chardevs(serial0="tcp:127.0.0.1:1,server=on <-> 127.0.0.1:2")
    assert poll_query.connected(answer, ["serial0"]) == {"serial0"}


def test_of_a_device_that_qemu_does_not_list_nothing_is_known() -> None:
    with pytest.raises(QueryError, match="has no 'charserial0'"):
        poll_query.connected(chardevs(redir0="unix:/run/a,server=on"), ALIASES)


@pytest.mark.parametrize(
    "answer",
    ["", "{}", "[]", '{"return":{}}', '{"return":[1]}', '{"return":[{"label":"x"}]}', '{"return":[{"label":1}]}'],
)
def test_an_answer_of_another_form_is_an_error(answer: str) -> None:
    with pytest.raises(QueryError):
        poll_query.connected(answer, ALIASES)


def test_too_many_devices_are_an_error() -> None:
    with pytest.raises(QueryError, match="has 5000 character devices"):
        poll_query.connected(json.dumps({"return": [{}] * 5000}), ALIASES)


def test_the_question_for_a_slot_names_it_and_its_property() -> None:
    assert json.loads(poll_query.is_attached('a"b')) == {
        "execute": "qom-get",
        "arguments": {"path": '/machine/peripheral/a"b', "property": "attached"},
    }


def test_whether_a_device_is_attached() -> None:
    assert poll_query.attached('{"return":true,"id":"libvirt-1"}')
    assert not poll_query.attached('{"return":false}')


@pytest.mark.parametrize("answer", ["x", "{}", '{"return":1}', '{"error":{}}', '{"error":{"class":"DeviceNotFound"}}'])
def test_any_other_answer_about_a_slot_is_an_error(answer: str) -> None:
    with pytest.raises(QueryError):
        poll_query.attached(answer)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(json.dumps))
def test_no_answer_raises_another_error(answer: str) -> None:
    for read in (lambda: poll_query.connected(answer, ALIASES), lambda: poll_query.attached(answer)):
        with contextlib.suppress(QueryError):
            read()
