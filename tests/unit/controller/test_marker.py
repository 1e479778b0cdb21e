"""What the controller asks the API server and writes there, request by request, in virtual time."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.decisions import Cause, Decisions, Key, Verb, VmiPlace
from controller.marker import Marker
from handler_service.kube import leases
from tests.unit.controller.builders import companion, lease, marked
from tests.unit.handler.kube.fake_api import FakeApi

VM = Key("ns", "vm")
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/vss/leases/handler-n1"
MARK = "PATCH /apis/servicestatus.kubevirt.io/v1alpha1/namespaces/ns/virtualmachineinstanceservicestatuses/vm/status"


class Scene:
    """A VM on n1, whose handler renewed its Lease at 0, and the controller."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.now = 0.0
        self.decisions = Decisions()
        self.decisions.leases_synced = self.decisions.companions_synced = self.decisions.vmis_synced = True
        self.decisions.vmi(VM, VmiPlace("u", "n1"), 0)
        self.decisions.lease(lease(), 0)
        self.decisions.companion(companion(), 0)
        #: When everything was listed again.
        self.listed: list[float] = []
        self.marker = Marker(
            api.client,
            "vss",
            self.decisions,
            lambda: self.now,
            lambda: 1_700_000_000 + self.now,
            list_again=lambda: self.listed.append(self.now),
        )

    async def at(self, now: float) -> list[str]:
        """Act once at `now`; returns the requests that this caused."""
        self.now = now
        before = len(self.api.seen)
        await self.marker.act()
        return [str(one) for one in self.api.seen[before:]]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with FakeApi(tmp_path) as api:
        yield Scene(api)


def renewed(seconds: float) -> dict[str, Any]:
    """The Lease as the API server has it: `lease()` was another renewal."""
    return leases.manifest("vss", "n1", "handler", ["companion"], seconds)


async def test_an_expired_lease_is_read_before_its_node_is_marked(scene: Scene) -> None:
    assert await scene.at(29.9) == []
    scene.api.refuse(LEASE, 404)
    scene.api.expect(MARK, {})
    assert await scene.at(30) == [LEASE, MARK]
    assert scene.marker.actions[Verb.MARK, Cause.HANDLER_AWAY, "done"] == 1


async def test_a_lease_that_was_renewed_unseen_marks_nothing(scene: Scene) -> None:
    scene.api.expect(LEASE, renewed(25))
    assert await scene.at(30) == [LEASE]
    assert await scene.at(59.9) == []


async def test_a_renewal_that_the_watch_has_not_shown_has_everything_listed_again_once_in_30_s(scene: Scene) -> None:
    for now in (30, 60, 90):
        scene.api.expect(LEASE, renewed(now))
        await scene.at(now)
        scene.decisions.companion(companion(), now)
    assert scene.listed == [30, 60, 90]
    scene.api.refuse(LEASE, 404)
    scene.api.refuse(MARK, 409)
    await scene.at(120)
    assert scene.listed == [30, 60, 90]


async def test_a_companion_that_is_superseded_twice_unseen_has_everything_listed_again(scene: Scene) -> None:
    """The watch shows what another writer has written; if it does not within 3 s, it may never do so."""
    for now in (30, 33, 36):
        scene.api.refuse(LEASE, 404)
        scene.api.refuse(MARK, 409)
        await scene.at(now)
    assert scene.listed == [33]


async def test_a_lease_that_cannot_be_read_marks_nothing(scene: Scene) -> None:
    scene.api.refuse(LEASE, 403)
    assert await scene.at(30) == [LEASE]


async def test_a_handler_that_is_back_is_not_marked_again_while_the_watch_of_leases_stalls(scene: Scene) -> None:
    """The watch of companions shows what the handler has written, so the Lease is read again, each time."""
    scene.api.refuse(LEASE, 404)
    scene.api.expect(MARK, {})
    await scene.at(30)
    scene.decisions.companion(marked(companion()), 30)
    assert await scene.at(35) == []
    scene.decisions.companion(companion(version=3), 36)
    scene.api.expect(LEASE, renewed(36))
    assert await scene.at(45) == [LEASE]
    assert await scene.at(60) == []


async def test_a_trouble_is_logged_once_for_as_long_as_its_companion_exists(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings() -> int:
        shown = [one for one in caplog.records if one.levelno == logging.WARNING]
        caplog.clear()
        return sum(one.getMessage().startswith("companion ns/vm: ") for one in shown)

    for now, logged in ((30, 1), (33, 0)):
        scene.api.refuse(LEASE, 404)
        scene.api.refuse(MARK, 403)
        assert await scene.at(now) == [LEASE, MARK]
        assert warnings() == logged
    scene.decisions.companion_gone(VM)
    assert await scene.at(40) == []
    scene.decisions.companion(companion(version=4), 41)
    scene.api.refuse(LEASE, 404)
    scene.api.refuse(MARK, 403)
    await scene.at(42)
    assert warnings() == 1


async def test_that_a_node_has_no_handler_is_logged_once_for_each_time(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused(now: float) -> int:
        caplog.clear()
        scene.api.refuse(LEASE, 404)
        scene.api.refuse(MARK, 500)
        await scene.at(now)
        return sum("no handler renews its Lease" in one.getMessage() for one in caplog.records)

    assert [await refused(30), await refused(33)] == [1, 0]
    scene.decisions.lease(lease(renewed="2"), 34)
    assert await scene.at(35) == []
    assert await refused(70) == 1
