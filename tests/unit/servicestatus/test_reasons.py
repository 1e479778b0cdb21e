"""The reasons of the contract: every one has a name here, and keeps it on the wire and back."""

import pytest

from servicestatus.reasons import Reason
from servicestatus.v1 import sessions_pb2 as pb


def test_every_reason_of_the_contract_is_there() -> None:
    known = {f"OBSERVATION_REASON_{reason.name}" for reason in Reason}
    assert known | {"OBSERVATION_REASON_UNSPECIFIED"} == set(pb.ObservationReason.keys())


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_survives_the_wire(reason: Reason) -> None:
    assert pb.ObservationReason.Name(reason.wire) == f"OBSERVATION_REASON_{reason.name}"
    assert Reason.of_wire(reason.wire) is reason


@pytest.mark.parametrize("value", [0, 99, -1])
def test_an_unspecified_or_later_reason_is_none(value: int) -> None:
    assert Reason.of_wire(value) is None


def test_numbers_are_the_truth_only_while_somebody_watches_or_nothing_runs() -> None:
    assert {reason for reason in Reason if reason.observed} == {Reason.WATCHING, Reason.NO_DOMAIN}
