"""The tables of numbers in docs/: their values and reasons are those of the code."""

import pytest

from hack import reference_tables
from hack.reference_tables import Documented, documented, duration, with_tables


def _row(table: str, first: str) -> list[str]:
    (found,) = (row for row in reference_tables.TABLES[table]() if row[0] == first)
    return found


def test_a_comment_is_the_reason_of_every_field_that_follows_it_directly() -> None:
    groups = documented("handler_service.publishing.policy", "WritePolicy")
    assert [group.names for group in groups if "retry_base" in group.names] == [("retry_base", "retry_cap")]
    assert Documented(("interval",), "Between two writes of one VMI: each one wakes KubeVirt's controllers.") in groups


def test_a_setting_has_its_default_and_its_range() -> None:
    assert _row("stream-settings", "`lease`")[1:3] == ["15 s", "200 ms to 10 min"]
    assert _row("stream-settings", "`window`")[1:3] == ["8", "1 to 1,024"]


def test_statuses_with_the_same_wait_share_a_row() -> None:
    row = _row("retry-policy", "`PERMISSION_DENIED`, `INVALID_ARGUMENT`, `UNIMPLEMENTED`")
    assert row[1] == "30 s to 1 min"
    assert _row("retry-policy", "`ABORTED`")[1] == "1 s up to 5 s, doubling to 30 s"


def test_an_option_that_only_one_end_has_is_a_dash_at_the_other() -> None:
    assert _row("keepalive", "`grpc.keepalive_time_ms`")[1:] == ["5,000", "5,000"]
    assert _row("keepalive", "`grpc.enable_http_proxy`")[1:] == ["0", "-"]


@pytest.mark.parametrize(("seconds", "words"), [(0.02, "20 ms"), (1.0, "1 s"), (2.5, "2.5 s"), (600.0, "10 min")])
def test_a_duration_is_written_with_its_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_only_the_lines_between_the_markers_are_replaced() -> None:
    page = "before\n<!-- begin table keepalive, written by hand -->\nold\n<!-- end table -->\nafter | old\n"
    new = with_tables(page)
    assert new.startswith(
        "before\n<!-- begin table keepalive, written by hand -->\n\n| option of gRPC | agent | handler |\n"
    )
    assert new.endswith("|\n\n<!-- end table -->\nafter | old\n")
    assert with_tables(new) == new
