"""What is read from a VMI: few fields, and nothing that it may hold breaks anything."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_service.kube import vmi as vmis
from handler_service.model import VmiId

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def vmi(**status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "name": "vm", "uid": "u", "resourceVersion": "7"}, "status": status}


def test_the_fields_that_matter_are_read() -> None:
    """As KubeVirt writes them."""
    found = vmis.parse(
        vmi(
            nodeName="n1",
            phase="Running",
            activePods={"p": "n1", "q": "", "r": "n2"},
            serviceStatus={"vncSessions": 2},
        ),
        "n1",
    )
    assert found == vmis.Vmi(
        id=VmiId("ns", "vm", "u"),
        version=7,
        node="n1",
        phase="Running",
        pods=frozenset({"p", "q"}),
        too_many_pods=False,
        service_status={"vncSessions": 2},
    )
    assert found.published.sessions == 2
    assert not found.final


@pytest.mark.parametrize(("phase", "final"), [("Running", False), ("Succeeded", True), ("Failed", True), ("", False)])
def test_a_final_phase_is_known(phase: str, final: bool) -> None:
    """Those after which no QEMU runs for the object, ever."""
    found = vmis.parse(vmi(phase=phase))
    assert found is not None
    assert found.final is final


@pytest.mark.parametrize("value", [None, 0, -1, True, "1", 1.5, [], {}])
def test_a_number_that_is_none_reads_as_zero(value: object) -> None:
    """Absent, 0 and invalid values are all 0, so that they are corrected when a viewer is connected."""
    assert vmis.count(value) == 0


@given(JSON)
def test_any_object_is_read_without_an_error(object_: Any) -> None:
    """Whatever a list or a watch may hold."""
    assert vmis.parse(object_) is None or object_["metadata"]["uid"]


@given(JSON, JSON, JSON, JSON)
def test_any_field_may_be_anything(node: Any, phase: Any, pods: Any, service_status: Any) -> None:
    """A field that is odd reads as its absence."""
    found = vmis.parse(vmi(nodeName=node, phase=phase, activePods=pods, serviceStatus=service_status), "n")
    assert found is not None
    assert isinstance(found.node, str)
    assert isinstance(found.phase, str)
    assert found.published.sessions >= 0
    assert len(found.pods) <= 16


def test_terminated_pods_of_other_nodes_leave_room_for_ours() -> None:
    """A VMI keeps the pods of failed migrations in its status, on whatever nodes those were."""
    pods = {f"p{number}": f"n{number}" for number in range(18)} | {"ours": "here"}
    found = vmis.parse(vmi(activePods=pods), "here")
    assert found is not None
    assert (found.pods, found.too_many_pods) == (frozenset({"ours"}), False)


def test_pods_that_are_left_out_are_not_left_out_in_silence() -> None:
    """Sixteen are served, those of the node before those that are not scheduled."""
    pods = {f"q{number}": "" for number in range(9)} | {f"p{number}": "here" for number in range(16)}
    found = vmis.parse(vmi(activePods=pods), "here")
    assert found is not None
    assert (found.pods, found.too_many_pods) == (frozenset(f"p{number}" for number in range(16)), True)


@given(JSON, JSON, JSON, st.dictionaries(st.text(max_size=4), st.sampled_from(["n", "m", "", None, 7]), max_size=40))
def test_a_vmi_that_was_reduced_reads_the_same(
    node: Any, phase: Any, service_status: Any, pods: dict[str, Any]
) -> None:
    """Else a VMI would differ between a list and a watch."""
    whole = vmi(nodeName=node, phase=phase, activePods=pods, serviceStatus=service_status, guest="x" * 100)
    small = vmis.reduced(whole, "n")
    assert vmis.parse(small, "n") == vmis.parse(whole, "n")
    assert "guest" not in small["status"]


@given(JSON)
def test_any_object_is_reduced_without_an_error(object_: Any) -> None:
    assert vmis.parse(vmis.reduced(object_, "n"), "n") == vmis.parse(object_, "n")
