"""Tests that repeated rejections of a peer are logged once."""

from handler_service.endpoints.rejections import RejectionLog


def test_each_kind_is_told_once_and_again_after_ten_minutes() -> None:
    """With how many there were meanwhile."""
    told: list[str] = []
    now = [0.0]
    rejections = RejectionLog(told.append, lambda: now[0])
    for _ in range(3):
        rejections.note("a", "one thing")
    rejections.note("b", "another")
    assert told == ["one thing", "another"]
    now[0] = 599.0
    rejections.note("a", "one thing, differently")
    now[0] = 600.0
    rejections.note("a", "one thing")
    rejections.note("b", "another")
    assert told[2:] == ["one thing (and 3 times since this was last logged)", "another"]
