"""Texts are bounded in bytes and never cut within a character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicestatus import text


@pytest.mark.parametrize(
    ("whole", "limit", "expected"),
    [("abc", 3, "abc"), ("abcd", 3, "abc"), ("äöü", 4, "äö"), ("äöü", 5, "äö"), ("😀", 3, "")],
)
def test_a_text_is_cut_between_characters(whole: str, limit: int, expected: str) -> None:
    assert text.truncate(whole, limit) == expected


@given(st.text(), st.integers(0, 20))
def test_as_much_is_kept_as_fits(whole: str, limit: int) -> None:
    cut = text.truncate(whole, limit)
    assert len(cut.encode()) <= limit
    assert whole.startswith(cut)
    following = whole[len(cut) : len(cut) + 1]
    assert not following or len((cut + following).encode()) > limit


@pytest.mark.parametrize(("whole", "expected"), [("a\udcffb", "a?b"), ("\ud800", "?")])
def test_a_surrogate_becomes_a_question_mark(whole: str, expected: str) -> None:
    assert text.truncate(whole, 10) == expected


@pytest.mark.parametrize(("whole", "fits"), [("abc", True), ("abcd", False), ("ä", True), ("ää", False)])
def test_a_size_is_counted_in_bytes(whole: str, fits: bool) -> None:
    assert text.fits(whole, 3) is fits
