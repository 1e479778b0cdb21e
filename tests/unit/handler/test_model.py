"""The handler's reasons: an agent's, taken from the contract, and its own."""

import pytest

from handler_service.model import Reason
from servicestatus.reasons import Reason as AgentReason


@pytest.mark.parametrize("reason", AgentReason)
def test_the_handler_has_every_reason_of_an_agent_under_the_same_word(reason: AgentReason) -> None:
    shown = Reason.of_wire(reason.wire)
    assert (shown.name, shown.value) == (reason.name, reason.value)
    assert shown.wire == reason.wire


def test_the_handlers_own_reasons_are_not_on_the_wire() -> None:
    own = {reason.value for reason in Reason if not reason.wire}
    assert own == {
        "AgentStarting",
        "AgentSilent",
        "AgentStopped",
        "NoAgent",
        "SocketRefused",
        "TooManyPods",
        "Finished",
        "Unknown",
    }


@pytest.mark.parametrize("value", [0, 99])
def test_an_unspecified_or_later_reason_is_unknown(value: int) -> None:
    assert Reason.of_wire(value) is Reason.UNKNOWN
