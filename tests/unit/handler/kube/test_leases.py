"""A handler's Lease: what is written is what is read back, and what others write breaks nothing."""

from typing import Any

import pytest
from hypothesis import given

from handler_service.kube import leases
from handler_service.kube.leases import HandlerLease
from tests.unit.handler.kube.test_vmi import JSON


def test_what_a_handler_writes_is_what_the_controller_reads() -> None:
    """The time is that of Kubernetes' MicroTime."""
    object_ = leases.manifest("vss", "n1", "pod-1", ["companion", "vmi-status"], 1_700_000_000.25)
    assert object_["metadata"]["name"] == "handler-n1"
    assert object_["spec"] == {
        "holderIdentity": "pod-1",
        "leaseDurationSeconds": 30,
        "renewTime": "2023-11-14T22:13:20.250000Z",
    }
    assert leases.parse(object_) == HandlerLease(
        "n1", "2023-11-14T22:13:20.250000Z", 30, frozenset({"companion", "vmi-status"})
    )


@pytest.mark.parametrize(("written", "read"), [(10, 10), (3600, 30), (0, 30), ("10", 30), (None, 30)])
def test_no_lease_lasts_longer_than_30_s(written: Any, read: int) -> None:
    """Whatever stands in it."""
    object_ = leases.manifest("vss", "n1", "", [], 0)
    object_["spec"]["leaseDurationSeconds"] = written
    found = leases.parse(object_)
    assert found is not None
    assert found.duration == read


def test_another_lease_is_none_of_a_handler() -> None:
    """A label alone does not make it one."""
    object_ = leases.manifest("vss", "n1", "", [], 0)
    object_["metadata"]["name"] = "handler-n2"
    assert leases.parse(object_) is None


@given(JSON)
def test_anything_else_is_no_lease(value: Any) -> None:
    """And raises nothing."""
    assert leases.parse(value) is None
