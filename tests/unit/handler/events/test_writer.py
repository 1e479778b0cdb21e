"""Events as transcripts: what is sent, and what becomes of a failure."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_service.events.policy import Kind, VmiEvent
from handler_service.events.writer import EventWriter, event_name
from handler_service.kube.client import MERGE_PATCH
from handler_service.model import VmiId
from tests.unit.handler.kube.fake_api import FakeApi

VMI = VmiId("ns", "vm", "u")
EVENTS = "/apis/events.k8s.io/v1/namespaces/ns/events"


def event(kind: Kind, detail: str = "", times: int = 1, first: float = 0.0, last: float = 0.0) -> VmiEvent:
    return VmiEvent(VMI, kind, detail, times, first, last)


STARTED = event(Kind.STARTED)


class Clock:
    """Monotonic time, and the wall time that belongs to it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.25 + self.now


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[FakeApi]:
    async with FakeApi(tmp_path) as serving:
        yield serving


def writer(api: FakeApi, clock: Clock) -> EventWriter:
    return EventWriter(api.client, "n1", clock, clock.wall)


async def test_an_event_is_about_the_vmi_and_signed_with_the_node(api: FakeApi) -> None:
    """All that the API asks for, and nothing that differs between two of one kind but name and time."""
    api.expect(f"POST {EVENTS}", {})
    events = writer(api, Clock(90.0))  # it had to wait for 90 s, which does not show
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
    events = writer(api, clock)
    api.expect(f"POST {EVENTS}", {})
    await events.write(STARTED)
    path = f"{EVENTS}/{api.seen[0].body['metadata']['name']}"
    api.expect(f"PATCH {path}", {})
    clock.now += 359.0
    await events.write(event(Kind.STARTED, times=2, first=300.0, last=358.0))
    assert api.seen[1].content_type == MERGE_PATCH
    assert api.seen[1].body == {"series": {"count": 3, "lastObservedTime": "2023-11-14T22:19:18.250000Z"}}
    api.expect(f"POST {EVENTS}", {})
    clock.now += 361.0
    await events.write(STARTED)
    assert "series" not in api.seen[2].body


async def test_another_reason_is_another_event(api: FakeApi) -> None:
    """The words of an event cannot be changed."""
    events = writer(api, Clock())
    for reason in ("AgentSilent", "LibvirtUnreachable"):
        api.expect(f"POST {EVENTS}", {})
        await events.write(event(Kind.UNKNOWN, reason))
    first, second = (seen.body for seen in api.seen)
    assert first["type"] == second["type"] == "Warning"
    assert first["note"] == (
        "It is not known whether anybody is connected to the VM over VNC: No report from the agent within its lease; "
        "the number shown is the last one known."
    )
    assert "libvirt" in second["note"]


async def test_what_happened_often_at_first_is_a_series_from_the_start(api: FakeApi) -> None:
    """It had to wait for its minute; both times are those at which it happened."""
    api.expect(f"POST {EVENTS}", {})
    await writer(api, Clock()).write(event(Kind.ENDED, times=4, first=-60.0, last=-1.0))
    body = api.seen[0].body
    assert body["eventTime"] == "2023-11-14T22:12:20.250000Z"
    assert body["series"] == {"count": 4, "lastObservedTime": "2023-11-14T22:13:19.250000Z"}


async def test_a_series_that_was_cleared_away_begins_anew(api: FakeApi) -> None:
    """By its hour's end, or by a person."""
    events = writer(api, Clock())
    api.expect(f"POST {EVENTS}", {})
    await events.write(STARTED)
    api.refuse(f"PATCH {EVENTS}/{api.seen[0].body['metadata']['name']}", 404)
    api.expect(f"POST {EVENTS}", {})
    await events.write(STARTED)
    assert events.stats["VNCSessionStarted", "written"] == 2


async def test_a_note_is_cut_at_the_apis_bound(api: FakeApi) -> None:
    """A server's message may be long."""
    api.expect(f"POST {EVENTS}", {})
    await writer(api, Clock()).write(event(Kind.REFUSED, "ü" * 2000))
    assert len(api.seen[0].body["note"].encode()) <= 1024


async def test_a_failure_is_told_once_and_dropped(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing waits for an event, and the log is not flooded for one."""
    events = writer(api, Clock())
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            api.refuse(f"POST {EVENTS}", 403)
            await events.write(STARTED)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("the event VNCSessionStarted cannot be written and is dropped: 403")
    assert record.__dict__["fields"] == {"vmi": "ns/vm"}
    assert events.stats["VNCSessionStarted", "failed"] == 3


@pytest.mark.parametrize(
    ("vmi", "expected"),
    [
        ("vm", "vm.0123456789abcdef"),
        ("a" * 229 + "." + "b" * 20, "a" * 229 + "." + "b" * 6 + ".0123456789abcdef"),
        ("a" * 235 + "." + "b" * 17, "a" * 235 + ".0123456789abcdef"),
        ("a" * 234 + "-." + "b" * 10, "a" * 234 + ".0123456789abcdef"),
        ("a" * 253, "a" * 236 + ".0123456789abcdef"),
    ],
)
def test_an_events_name_is_a_name_however_long_the_vmis_is(vmi: str, expected: str) -> None:
    """A name that is cut behind a dot or a hyphen would be refused."""
    assert event_name(vmi, "0123456789abcdef") == expected
    assert len(expected) <= 253
