"""Both publishers as transcripts: what is sent, and what each answer means."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from handler_service.kube import companion as companions
from handler_service.kube import vmi as vmis
from handler_service.kube.client import JSON_PATCH, MERGE_PATCH
from handler_service.kube.conditions import Detail
from handler_service.model import Outcome, OutcomeKind, PublishedValue, ServiceValue, VmiId
from handler_service.publishers.companion import CompanionPublisher
from handler_service.publishers.vmi_status import VmiStatusPublisher
from servicestatus.v1 import sessions_pb2 as types
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import desired
from tests.unit.handler.kube.fake_api import FakeApi

USB = types.SERVICE_USB_REDIRECTION
VMI = VmiId("ns", "vm", "u")
VMI_PATH = "/apis/kubevirt.io/v1/namespaces/ns/virtualmachineinstances/vm"
COMPANIONS = "/apis/servicestatus.kubevirt.io/v1alpha1/namespaces/ns/virtualmachineinstanceservicestatuses"
COMPANION = f"{COMPANIONS}/vm"
DETAIL = Detail(True, "Watching", "All is seen.", 1_600_000_000, "n1")
ONE = PublishedValue(1, DETAIL)
NOW = 1_700_000_000.0


def vmi(sessions: int = 0, version: int = 7, uid: str = "u", node: str = "n1", **more: Any) -> dict[str, Any]:
    service_status = {**more, **({"vncSessions": sessions} if sessions else {})}
    return {
        "metadata": {"namespace": "ns", "name": "vm", "uid": uid, "resourceVersion": str(version)},
        "status": {"nodeName": node, **({"serviceStatus": service_status} if service_status else {})},
    }


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[FakeApi]:
    async with FakeApi(tmp_path) as serving:
        yield serving


# --- the VMI's own status ---------------------------------------------------------------------------------------------

Status = Callable[..., VmiStatusPublisher]


@pytest.fixture
def status(api: FakeApi) -> Status:
    def make(
        known: dict[str, Any] | None = None, *, schema: bool | None = True, services: frozenset[int] = frozenset()
    ) -> VmiStatusPublisher:
        async def schema_knows() -> bool | None:
            return schema

        return VmiStatusPublisher(api.client, "n1", lambda _: vmis.parse(known), schema_knows, lambda: services)

    return make


TESTS = [
    {"op": "test", "path": "/metadata/uid", "value": "u"},
    {"op": "test", "path": "/status/nodeName", "value": "n1"},
]


async def test_the_patch_of_a_number(api: FakeApi, status: Status) -> None:
    """The preconditions, then our own field and nothing else."""
    api.expect(f"PATCH {VMI_PATH}", vmi(2, version=8))
    assert await status(vmi()).write(VMI, PublishedValue(2)) == Outcome(OutcomeKind.WRITTEN, PublishedValue(2))
    assert api.seen[0].content_type == JSON_PATCH
    assert api.seen[0].body == [*TESTS, {"op": "add", "path": "/status/serviceStatus", "value": {"vncSessions": 2}}]


async def test_the_patch_of_nobody(api: FakeApi, status: Status) -> None:
    """The field is absent then; it is added first, so that the removal finds it."""
    api.expect(f"PATCH {VMI_PATH}", vmi(0, version=8))
    assert await status(vmi(2)).write(VMI, PublishedValue(0)) == Outcome(OutcomeKind.WRITTEN, PublishedValue(0))
    assert api.seen[0].body == [
        *TESTS,
        {"op": "add", "path": "/status/serviceStatus", "value": {}},
        {"op": "remove", "path": "/status/serviceStatus"},
    ]


async def test_other_services_are_kept(api: FakeApi, status: Status) -> None:
    """A later version's field beside ours."""
    api.expect(f"PATCH {VMI_PATH}", vmi(0, usbSessions=3))
    await status(vmi(2, usbSessions=3)).write(VMI, PublishedValue(0))
    assert api.seen[0].body == [*TESTS, {"op": "add", "path": "/status/serviceStatus", "value": {"usbSessions": 3}}]


async def test_numbers_of_other_services_stand_beside_that_of_vnc(api: FakeApi, status: Status) -> None:
    """One field for each service that has a number; at zero it is absent."""
    value = PublishedValue(0, None, (ServiceValue(USB, 2),))
    api.expect(f"PATCH {VMI_PATH}", vmi(0, version=8, usbRedirections=2, other=1))
    publisher = status(vmi(1, spiceSessions=1, other=1), services=frozenset({USB}))
    assert await publisher.write(VMI, value) == Outcome(OutcomeKind.WRITTEN, value)
    fields = {"usbRedirections": 2, "other": 1}
    assert api.seen[0].body == [*TESTS, {"op": "add", "path": "/status/serviceStatus", "value": fields}]


async def test_only_services_that_the_schema_has_a_field_for_are_shown(status: Status) -> None:
    """Otherwise the server would drop the field again and again."""
    assert status(services=frozenset({USB})).services(desired(0)) == {USB: None}
    assert status().services(desired(0)) == {}


async def test_a_number_that_another_client_removed_is_seen(api: FakeApi, status: Status) -> None:
    """The answer is compared with all numbers."""
    api.expect(f"PATCH {VMI_PATH}", vmi(1))
    outcome = await status(vmi()).write(VMI, PublishedValue(1, None, (ServiceValue(USB, 2),)))
    assert (outcome.kind, outcome.actual) == (OutcomeKind.REVERTED, PublishedValue(1))


async def test_a_schema_without_the_field_is_not_tried(api: FakeApi, status: Status) -> None:
    """The outcome is the same, and no controller wakes."""
    assert (await status(vmi(), schema=False).write(VMI, PublishedValue(1))).kind is OutcomeKind.PRUNED
    assert api.seen == []


@pytest.mark.parametrize(
    ("answered", "schema", "kind"),
    [
        (0, None, OutcomeKind.PRUNED),
        (0, True, OutcomeKind.REVERTED),
        (3, None, OutcomeKind.REVERTED),
        (3, True, OutcomeKind.REVERTED),
    ],
)
async def test_an_answer_is_compared_with_what_was_asked(
    api: FakeApi, status: Status, answered: int, schema: bool | None, kind: OutcomeKind
) -> None:
    """200 is no success by itself."""
    api.expect(f"PATCH {VMI_PATH}", vmi(answered))
    outcome = await status(vmi(), schema=schema).write(VMI, PublishedValue(1))
    assert (outcome.kind, outcome.actual) == (kind, PublishedValue(answered))


@pytest.mark.parametrize("code", [400, 422])
async def test_a_failed_test_is_a_conflict(api: FakeApi, status: Status, code: int) -> None:
    """And the watch's copy is not believed any more: the server is asked."""
    publisher = status(vmi(2))
    api.refuse(f"PATCH {VMI_PATH}", code)
    assert (await publisher.write(VMI, PublishedValue(1))).kind is OutcomeKind.CONFLICT
    api.expect(f"GET {VMI_PATH}", vmi(3, version=9))
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, PublishedValue(3))


async def test_another_object_of_the_same_name_is_gone(api: FakeApi, status: Status) -> None:
    """Its number is not taken for ours."""
    api.expect(f"GET {VMI_PATH}", vmi(3, uid="another"))
    assert (await status().read(VMI)).kind is OutcomeKind.GONE
    api.expect(f"PATCH {VMI_PATH}", vmi(1, uid="another"))
    assert (await status(vmi()).write(VMI, PublishedValue(1))).kind is OutcomeKind.ERROR


async def test_a_copy_that_is_older_than_the_last_answer_is_not_read(api: FakeApi, status: Status) -> None:
    """The watch may be late: what it says then is no news, and no foreign writer's work."""
    publisher = status(vmi(0, version=7))
    api.expect(f"PATCH {VMI_PATH}", vmi(1, version=8))
    await publisher.write(VMI, PublishedValue(1))
    old, own, new = (vmis.parse(vmi(0, version=version)) for version in (7, 8, 9))
    assert old is not None
    assert own is not None
    assert new is not None
    assert publisher.stale(old)
    assert publisher.stale(own)  # a watch that goes by a former schema shows it without the field
    assert not publisher.stale(new)
    api.expect(f"GET {VMI_PATH}", vmi(1, version=8))
    assert (await publisher.read(VMI)).actual == PublishedValue(1)
    publisher.forget(VMI)
    assert not publisher.stale(old)


# --- the companion ----------------------------------------------------------------------------------------------------


def companion(
    value: PublishedValue | None = None, *, version: int = 5, uid: str = "c", label: str = "n1", vmi_: VmiId = VMI
) -> dict[str, Any]:
    object_ = companions.manifest(vmi_, label)
    object_["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    if value is not None:
        written = companions.status(vmi_, value, (), NOW)
        object_["status"] = {key: value for key, value in written.items() if value is not None}
    return object_


def actual(*arguments: Any, **options: Any) -> companions.Companion:
    found = companions.parse(companion(*arguments, **options))
    assert found is not None
    return found


@pytest.fixture
def publisher(api: FakeApi) -> CompanionPublisher:
    return CompanionPublisher(api.client, "n1", lambda: True, lambda: NOW)


async def test_the_first_write_creates_it_and_then_its_status(api: FakeApi, publisher: CompanionPublisher) -> None:
    """The status has a subresource of its own, and its version is the precondition."""
    api.expect(f"POST {COMPANIONS}", companion(version=5))
    api.expect(f"PATCH {COMPANION}/status", companion(ONE, version=6))
    assert await publisher.write(VMI, ONE) == Outcome(OutcomeKind.WRITTEN, ONE)
    assert api.seen[0].body == companions.manifest(VMI, "n1")
    assert api.seen[1].content_type == MERGE_PATCH
    assert api.seen[1].body == {
        "metadata": {"resourceVersion": "5"},
        "status": companions.status(VMI, ONE, (), NOW),
    }


async def test_one_that_is_there_already_is_written(api: FakeApi, publisher: CompanionPublisher) -> None:
    """A handler that has been started again."""
    api.refuse(f"POST {COMPANIONS}", 409)
    api.expect(f"GET {COMPANION}", companion(PublishedValue(2, DETAIL), version=5))
    api.expect(f"PATCH {COMPANION}/status", companion(ONE, version=6))
    assert (await publisher.write(VMI, ONE)).ok


async def test_one_that_the_watch_has_told_is_not_asked_for(api: FakeApi, publisher: CompanionPublisher) -> None:
    """Reading costs nothing, and writing one request."""
    publisher.learn(actual(PublishedValue(2, DETAIL), version=5))
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, PublishedValue(2, DETAIL))
    api.expect(f"PATCH {COMPANION}/status", companion(ONE, version=6))
    assert (await publisher.write(VMI, ONE)).ok


async def test_after_a_migration_the_label_is_taken_over_first(api: FakeApi, publisher: CompanionPublisher) -> None:
    """The admission policy admits no status of a companion that bears another node's label."""
    publisher.learn(actual(PublishedValue(2, DETAIL), version=5, label="n0"))
    api.expect(f"PATCH {COMPANION}", companion(PublishedValue(2, DETAIL), version=6))
    api.expect(f"PATCH {COMPANION}/status", companion(ONE, version=7))
    assert (await publisher.write(VMI, ONE)).ok
    label = {"servicestatus.kubevirt.io/nodeName": "n1"}
    assert api.seen[0].body == {"metadata": {"labels": label, "resourceVersion": "5"}}
    assert api.seen[1].body["metadata"] == {"resourceVersion": "6"}


async def test_a_former_vmis_is_taken_over_deleted_and_made_anew(api: FakeApi, publisher: CompanionPublisher) -> None:
    """It is deleted by its UID: never its successor."""
    former = VmiId("ns", "vm", "former")
    api.refuse(f"POST {COMPANIONS}", 409)
    api.expect(f"GET {COMPANION}", companion(PublishedValue(2, DETAIL), vmi_=former, label="n0", uid="old"))
    api.expect(f"PATCH {COMPANION}", companion(PublishedValue(2, DETAIL), vmi_=former, uid="old", version=6))
    api.expect(f"DELETE {COMPANION}", {"status": "Success"})
    api.expect(f"POST {COMPANIONS}", companion(version=7))
    api.expect(f"PATCH {COMPANION}/status", companion(ONE, version=8))
    assert (await publisher.write(VMI, ONE)).ok
    assert api.seen[3].body == {"preconditions": {"uid": "old"}}
    assert publisher.known() == [VMI]


@pytest.mark.parametrize(
    ("current", "kind"),
    [
        (vmi(), OutcomeKind.CONFLICT),
        (vmi(node="n2"), OutcomeKind.GONE),
        (vmi(uid="another"), OutcomeKind.GONE),
        ({}, OutcomeKind.GONE),
    ],
    ids=["still ours", "on another node", "another object", "nonsense"],
)
async def test_after_a_conflict_the_vmi_says_who_goes_on(
    api: FakeApi, publisher: CompanionPublisher, current: dict[str, Any], kind: OutcomeKind
) -> None:
    """And what was known of the companion is forgotten."""
    publisher.learn(actual(PublishedValue(2, DETAIL)))
    api.refuse(f"PATCH {COMPANION}/status", 409)
    api.expect(f"GET {VMI_PATH}", current)
    assert (await publisher.write(VMI, ONE)).kind is kind
    assert publisher.known() == []


@pytest.mark.parametrize("node", ["n1", "n2"])
async def test_while_watches_fail_the_vmi_is_asked_whose_it_is(api: FakeApi, node: str) -> None:
    """A migration's source that was cut off must not publish 0 for a VMI that has moved."""
    publisher = CompanionPublisher(api.client, "n1", lambda: False, lambda: NOW)
    publisher.learn(actual(PublishedValue(2, DETAIL)))
    api.expect(f"GET {VMI_PATH}", vmi(node=node))
    if node == "n1":
        api.expect(f"PATCH {COMPANION}/status", companion(ONE, version=6))
    assert (await publisher.write(VMI, ONE)).kind is (OutcomeKind.WRITTEN if node == "n1" else OutcomeKind.GONE)


async def test_a_status_that_comes_back_different_is_reverted(api: FakeApi, publisher: CompanionPublisher) -> None:
    """For example by a webhook."""
    publisher.learn(actual(PublishedValue(2, DETAIL)))
    api.expect(f"PATCH {COMPANION}/status", companion(PublishedValue(2, DETAIL), version=6))
    outcome = await publisher.write(VMI, ONE)
    assert (outcome.kind, outcome.actual) == (OutcomeKind.REVERTED, PublishedValue(2, DETAIL))


async def test_an_answer_that_is_another_object_is_not_believed(api: FakeApi, publisher: CompanionPublisher) -> None:
    """The outcome is a conflict, after a read of the object and of the VMI."""
    api.expect(f"POST {COMPANIONS}", {})
    api.expect(f"GET {COMPANION}", {})
    api.expect(f"POST {COMPANIONS}", {})
    api.expect(f"GET {VMI_PATH}", vmi())
    assert (await publisher.write(VMI, ONE)).kind is OutcomeKind.CONFLICT


async def test_an_answer_does_not_bring_back_what_has_gone_meanwhile(
    api: FakeApi, publisher: CompanionPublisher
) -> None:
    """Another client deletes the written object; a watch can report that before a slow response arrives."""
    publisher.learn(actual(PublishedValue(2, DETAIL), version=5))
    api.expect(f"PATCH {COMPANION}/status", companion(ONE, version=6), seconds=0.5)
    writing = asyncio.create_task(publisher.write(VMI, ONE))
    await wait_until_async(lambda: api.done, what="it is being written")
    publisher.forget(VMI)
    assert (await writing).ok
    api.refuse(f"GET {COMPANION}", 404)
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, PublishedValue(0, None))


async def test_an_answer_does_not_replace_what_the_watch_has_shown_since(
    api: FakeApi, publisher: CompanionPublisher
) -> None:
    """The controller marks the written object; a watch can show that before a slow response arrives."""
    publisher.learn(actual(PublishedValue(2, DETAIL), version=5))
    api.expect(f"PATCH {COMPANION}/status", companion(ONE, version=6), seconds=0.5)
    writing = asyncio.create_task(publisher.write(VMI, ONE))
    await wait_until_async(lambda: api.done, what="it is being written")
    marked = PublishedValue(1, DETAIL._replace(observed=False, reason="HandlerAway"))
    publisher.learn(actual(marked, version=7))
    assert (await writing).ok
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, marked)


async def test_no_companion_shows_nothing(api: FakeApi, publisher: CompanionPublisher) -> None:
    """Neither does a former VMI's."""
    nothing = Outcome(OutcomeKind.UNCHANGED, PublishedValue(0, None))
    api.refuse(f"GET {COMPANION}", 404)
    assert await publisher.read(VMI) == nothing
    api.expect(f"GET {COMPANION}", companion(ONE, vmi_=VmiId("ns", "vm", "former")))
    assert await publisher.read(VMI) == nothing


def test_an_older_copy_is_no_news(publisher: CompanionPublisher) -> None:
    """The watch may be later than an answer."""
    assert publisher.learn(actual(ONE, version=6))
    assert not publisher.learn(actual(PublishedValue(2, DETAIL), version=5))
    assert publisher.learn(actual(ONE, version=6))
    publisher.forget(VMI)
    assert publisher.learn(actual(PublishedValue(2, DETAIL), version=5))
