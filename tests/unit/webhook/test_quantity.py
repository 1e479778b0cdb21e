"""Amounts, as Kubernetes writes them."""

import pytest

from injection_webhook.quantity import parse


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1000m"),
        ("1Gi", "1073741824"),
        ("0.1", "100m"),
        (".5", "500m"),
        ("1.", "1"),
        ("1e3", "1k"),
        ("1E3", "1k"),
        ("1E", "1000P"),
        ("12e-1", "1200m"),
        ("+1", "1"),
        ("0.1n", "1n"),
        ("1048576Ti", "1Ei"),
        ("0", "0Gi"),
    ],
)
def test_one_amount_has_several_forms(one: str, other: str) -> None:
    """Below a billionth it is rounded up."""
    assert parse(one) == parse(other)


@pytest.mark.parametrize("text", ["", "much", "1 Gi", "1Zi", "0x10", "1e100", "1" * 5000, "--1", "1mi", "\u0661"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Whatever its length."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@pytest.mark.parametrize(("less", "more"), [("999m", "1"), ("1G", "1Gi"), ("1n", "2n"), ("-1", "0")])
def test_amounts_are_told_apart(less: str, more: str) -> None:
    """By their value."""
    assert parse(less) < parse(more)
