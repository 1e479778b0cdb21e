"""Whether a VMI keeps the field is read from its CRD."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from handler_service.cluster.vmi_schema import VmiSchema, has_service_status, services_of
from handler_service.kube.client import KubeClient
from tests.unit.handler.kube.test_vmi import JSON

KEEP = {"x-kubernetes-preserve-unknown-fields": True}


def crd(status: Any, name: str = "v1") -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"properties": {"status": status}}}
    return {"spec": {"versions": [{"name": "v1alpha3", "schema": {}}, {"name": name, "schema": schema}]}}


@pytest.mark.parametrize(
    ("status", "keeps"),
    [
        ({"properties": {"phase": {}}}, False),
        ({"properties": {"serviceStatus": {}}}, False),
        ({"properties": {"serviceStatus": {"properties": {"usbSessions": {}}}}}, False),
        ({"properties": {"serviceStatus": {"properties": {"vncSessions": {"type": "integer"}}}}}, True),
        ({"properties": {"serviceStatus": KEEP}}, True),
        (KEEP, True),
        (None, False),
    ],
)
def test_the_schema_says_whether_the_field_is_kept(status: Any, keeps: bool) -> None:
    """By its name, or because unknown fields are kept."""
    assert has_service_status(crd(status)) is keeps


def test_each_service_has_a_field_or_has_none() -> None:
    """VEP #119 names VNC's; the others may follow one by one."""
    fields = {"vncSessions": {"type": "integer"}, "usbRedirections": {"type": "integer"}}
    assert services_of(crd({"properties": {"serviceStatus": {"properties": fields}}})) == {2}
    assert services_of(crd({"properties": {"serviceStatus": KEEP}})) == {2, 3, 4}
    assert services_of(crd({"properties": {}})) == set()


def test_only_the_version_that_is_written_counts() -> None:
    """VMIs are written as `v1`."""
    assert not has_service_status(crd(KEEP, name="v2"))


@given(JSON)
def test_any_object_is_read_without_an_error(object_: Any) -> None:
    """What cannot be read does not keep the field."""
    assert not has_service_status(object_)


async def test_the_first_look_is_waited_for_once() -> None:
    """No useless write happens before it, and a server that does not answer delays nothing without a limit."""
    schema = VmiSchema(KubeClient(Path("never-read"), 1.0, "test"), 60.0, lambda: None)
    waiting = asyncio.create_task(schema.first_look())
    await asyncio.sleep(0)
    assert not waiting.done()
    schema.listed([])
    await waiting
    await schema.first_look()
