"""A page that is read object by object reads as JSON says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_service.kube import list_page
from handler_service.kube.errors import ServerError
from tests.unit.handler.kube.test_vmi import JSON


@given(st.lists(JSON, max_size=4), st.dictionaries(st.text(max_size=4), JSON, max_size=3), JSON, st.booleans())
def test_a_page_is_its_items_and_its_metadata(items: list[Any], metadata: Any, kind: Any, spaced: bool) -> None:
    """In whatever order and with whatever space between."""
    page = {"kind": kind, "items": items, "more": [kind], "metadata": metadata}
    for keys in (list(page), list(reversed(page))):
        text = json.dumps({key: page[key] for key in keys}, indent=1 if spaced else None)
        assert list_page.parse(text.encode(), lambda item: item) == (items, metadata)


def test_only_what_is_kept_is_returned() -> None:
    text = b'{"items": [{"a": 1, "b": 2}, {"a": 3}], "metadata": {"continue": "c"}}'
    assert list_page.parse(text, lambda item: {"a": item["a"]}) == ([{"a": 1}, {"a": 3}], {"continue": "c"})


@pytest.mark.parametrize("text", [b'{"items": null, "metadata": {}}', b"{}", b' {"kind": "List"} ', b'{"metadata": 7}'])
def test_a_page_may_be_empty(text: bytes) -> None:
    """Go writes null for a list without anything in it."""
    assert list_page.parse(text, lambda item: item) == ([], {})


@given(st.lists(JSON, max_size=2), st.dictionaries(st.text(max_size=2), JSON, max_size=2), st.integers(0), st.data())
def test_a_page_with_a_character_too_many_or_too_few_is_taken_only_if_json_takes_it(
    items: list[Any], metadata: Any, at: int, data: st.DataObject
) -> None:
    text = json.dumps({"items": items, "metadata": metadata})
    at %= len(text)
    added = data.draw(st.sampled_from(["", *'{}[],:" 7tN', "NaN"]))
    text = text[:at] + added + text[at + (not added) :]
    try:
        expected = json.loads(text, parse_constant=refused)
    except ValueError:
        expected = None
    if isinstance(expected, dict):
        list_page.parse(text.encode(), lambda item: item)
    else:
        with pytest.raises(ServerError):
            list_page.parse(text.encode(), lambda item: item)


def refused(name: str) -> None:
    raise ValueError(name)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"7", b"{", b'{"items"', b'{"items": [', b'{"items": [1 2]}', b'{"a": 1 "b"}',
        b"\xff", b"[" * 99_999, b'{"items": [{},]}',
        b'{"items": [{}, ], "metadata": {}}', b'{"items": [],}', b'{"items": [,]}', b"{,}",
        b'{7: 1}', b'{"items": [NaN]}', b'{"items": []} {}', b'{"items": []}}',
    ],
)  # fmt: skip
def test_what_is_no_page_is_an_error_of_the_server(text: bytes) -> None:
    with pytest.raises(ServerError, match="the list is not JSON"):
        list_page.parse(text, lambda item: item)
