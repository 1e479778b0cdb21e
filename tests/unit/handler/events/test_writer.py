"""Events as transcripts: what is sent, and what becomes of a failure."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_service.events.policy import Kind, VmiEvent
from handler_service.events.writer import EventWriter
from handler_service.kube.client import MERGE_PATCH
from handler_service.model import VmiId
from tests.unit.handler.kube.fake_api import FakeApi

VMI = VmiId("ns", "vm", "u")
EVENTS = "/apis/events.k8s.io/v1/namespaces/ns/events"
STARTED = VmiEvent(VMI, Kind.STARTED, "", 1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[FakeApi]:
    async with FakeApi(tmp_path) as serving:
        yield serving


async def test_an_event_is_about_the_vmi_and_signed_with_the_node(api: FakeApi) -> None:
    """All that the API asks for, and nothing that differs between two of one kind but name and time."""
    api.expect(f"POST {EVENTS}", {})
    events = EventWriter(api.client, "n1", Clock())
    await events.write(STARTED)
    body = api.seen[0].body
    assert body["metadata"].pop("name").startswith("vm.")
    assert body == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "ns"},
        "eventTime": "2023-11-14T22:13:20.250000Z",
        "type": "Normal",
        "reason": "VNCSessionStarted",
        "action": "ObservingSessions",
        "note": "Somebody has connected to the VM over VNC.",
        "reportingController": "servicestatus.kubevirt.io/handler",
        "reportingInstance": "n1",
        "regarding": {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "namespace": "ns",
            "name": "vm",
            "uid": "u",
        },
    }
    assert events.stats["VNCSessionStarted", "written"] == 1


async def test_what_happens_again_within_six_minutes_is_a_series(api: FakeApi) -> None:
    """One object, whose count says how often; later it is another one."""
    clock = Clock()
    events = EventWriter(api.client, "n1", clock)
    api.expect(f"POST {EVENTS}", {})
    await events.write(STARTED)
    path = f"{EVENTS}/{api.seen[0].body['metadata']['name']}"
    api.expect(f"PATCH {path}", {})
    clock.now += 359.0
    await events.write(VmiEvent(VMI, Kind.STARTED, "", 2))
    assert api.seen[1].content_type == MERGE_PATCH
    assert api.seen[1].body == {"series": {"count": 3, "lastObservedTime": "2023-11-14T22:19:19.250000Z"}}
    api.expect(f"POST {EVENTS}", {})
    clock.now += 361.0
    await events.write(STARTED)
    assert "series" not in api.seen[2].body


async def test_another_reason_is_another_event(api: FakeApi) -> None:
    """The words of an event cannot be changed."""
    events = EventWriter(api.client, "n1", Clock())
    for reason in ("AgentSilent", "LibvirtUnreachable"):
        api.expect(f"POST {EVENTS}", {})
        await events.write(VmiEvent(VMI, Kind.UNKNOWN, reason, 1))
    first, second = (seen.body for seen in api.seen)
    assert first["type"] == second["type"] == "Warning"
    assert first["note"] == (
        "It is not known whether anybody is connected to the VM over VNC: The agent in the launcher pod was not heard "
        "for a lease; the number is the last one known."
    )
    assert "libvirt" in second["note"]


async def test_what_happened_often_at_first_is_a_series_from_the_start(api: FakeApi) -> None:
    """It had to wait for its minute."""
    api.expect(f"POST {EVENTS}", {})
    await EventWriter(api.client, "n1", Clock()).write(VmiEvent(VMI, Kind.ENDED, "", 4))
    assert api.seen[0].body["series"]["count"] == 4


async def test_a_series_that_was_cleared_away_begins_anew(api: FakeApi) -> None:
    """By its hour's end, or by a person."""
    events = EventWriter(api.client, "n1", Clock())
    api.expect(f"POST {EVENTS}", {})
    await events.write(STARTED)
    api.refuse(f"PATCH {EVENTS}/{api.seen[0].body['metadata']['name']}", 404)
    api.expect(f"POST {EVENTS}", {})
    await events.write(STARTED)
    assert events.stats["VNCSessionStarted", "written"] == 2


async def test_a_note_is_cut_at_the_apis_bound(api: FakeApi) -> None:
    """A server's message may be long."""
    api.expect(f"POST {EVENTS}", {})
    await EventWriter(api.client, "n1", Clock()).write(VmiEvent(VMI, Kind.REFUSED, "ü" * 2000, 1))
    assert len(api.seen[0].body["note"].encode()) <= 1024


async def test_a_failure_is_told_once_and_dropped(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing waits for an event, and the log is not flooded for one."""
    events = EventWriter(api.client, "n1", Clock())
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            api.refuse(f"POST {EVENTS}", 403)
            await events.write(STARTED)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "ns/vm: the event VNCSessionStarted cannot be written: 403" in caplog.text
    assert events.stats["VNCSessionStarted", "failed"] == 3
