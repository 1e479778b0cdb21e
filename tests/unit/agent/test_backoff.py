"""When to dial again."""

import grpc
import pytest

from launcher_agent import backoff as retry
from servicestatus.backoff import Backoff
from servicestatus.clock import Uniform
from tests.unit.agent.fakes import highest


def pauses(status: str, uniform: Uniform, attempts: int = 12) -> list[float]:
    backoff = Backoff(uniform)
    return [backoff.pause(retry.policy(status)) for _ in range(attempts)]


def lowest(low: float, high: float) -> float:
    return min(low, high)


@pytest.mark.parametrize("status", [code.name for code in grpc.StatusCode])
def test_every_status_has_a_pause_that_ends(status: str) -> None:
    assert all(0 <= pause <= 60 for pause in pauses(status, highest))


def test_a_handler_that_is_gone_is_tried_soon_and_at_least_every_three_seconds() -> None:
    assert pauses("UNAVAILABLE", highest, 8) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0]
    assert pauses("UNAVAILABLE", lowest, 3) == [0, 0, 0]


def test_a_handler_that_defends_itself_is_left_alone_for_up_to_thirty_seconds() -> None:
    assert pauses("RESOURCE_EXHAUSTED", highest)[-1] == 30.0


def test_two_agents_on_one_socket_do_not_throw_each_other_out_in_a_loop() -> None:
    assert pauses("ABORTED", lowest, 2) == [1.0, 1.0]
    assert pauses("ABORTED", highest, 4) == [5.0, 10.0, 20.0, 30.0]


@pytest.mark.parametrize("status", ["PERMISSION_DENIED", "INVALID_ARGUMENT", "UNIMPLEMENTED"])
def test_what_needs_someone_is_tried_about_once_a_minute(status: str) -> None:
    assert retry.needs_intervention(status)
    assert pauses(status, lowest, 2) == [30.0, 30.0]
    assert pauses(status, highest, 2) == [60.0, 60.0]


def test_a_status_without_a_row_is_treated_with_care() -> None:
    assert retry.policy("DATA_LOSS") == retry.policy("UNKNOWN")
    assert not retry.needs_intervention("DATA_LOSS")
