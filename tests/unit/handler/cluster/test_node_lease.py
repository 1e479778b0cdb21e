"""The renewal of a node's Lease."""

import asyncio
import logging
from pathlib import Path

import pytest

from handler_service.cluster.node_lease import NodeLease
from handler_service.kube.client import KubeClient
from testbed.waiting import wait_until_async
from tests.unit.handler.kube.fake_api import FakeApi


class SlowCredentials(KubeClient):
    """A client whose plugin takes longer than the 3 s of a renewal."""

    async def refresh(self) -> None:
        await asyncio.sleep(3.2)


async def test_credentials_that_take_longer_than_a_renewal_may_do_not_fail_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeApi(tmp_path) as api, SlowCredentials(tmp_path / "kubeconfig", 5.0, "test") as client:
        api.expect("PATCH /apis/coordination.k8s.io/v1/namespaces/vss/leases/handler-n1")
        lease = NodeLease(client, "vss", "n1", holder="h", publishes=["companion"], vouches=lambda: True)
        task = asyncio.create_task(lease.run())
        await wait_until_async(lambda: api.done, what="the Lease is renewed")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


async def test_a_handler_that_stops_to_vouch_while_its_credentials_are_loaded_does_not_renew(tmp_path: Path) -> None:
    vouches = True

    class Loading(KubeClient):
        async def refresh(self) -> None:
            nonlocal vouches
            await asyncio.sleep(0)
            vouches = False

    async with FakeApi(tmp_path) as api, Loading(tmp_path / "kubeconfig", 5.0, "test") as client:
        lease = NodeLease(client, "vss", "n1", holder="h", publishes=["companion"], vouches=lambda: vouches)
        task = asyncio.create_task(lease.run())
        await wait_until_async(lambda: not vouches, what="the credentials are loaded")
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert api.seen == []


LEASES = "/apis/coordination.k8s.io/v1/namespaces/vss/leases"


@pytest.mark.parametrize("status", [404, 409], ids=["deleted", "changed"])
async def test_a_lease_that_another_has_changed_is_renewed_after_everything_was_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """The API server's data may have been restored from a backup."""
    versions, replaced = ["5", "8", "9"], 0

    def note() -> None:
        nonlocal replaced
        replaced += 1

    async with FakeApi(tmp_path) as api, KubeClient(tmp_path / "kubeconfig", 5.0, "test") as client:
        lease = NodeLease(client, "vss", "n1", holder="h", publishes=[], vouches=lambda: True, replaced=note)
        path = f"PATCH {LEASES}/handler-n1"
        api.expect(path, {"metadata": {"resourceVersion": versions[0]}})
        assert await lease._renew()
        api.refuse(path, status)
        assert not await lease._renew()
        assert replaced == 1
        for version in versions[1:]:
            api.expect(path, {"metadata": {"resourceVersion": version}})
            assert await lease._renew()
    sent = [seen.body["metadata"].get("resourceVersion") for seen in api.seen]
    assert sent == [None, "5", None, "8"]
    assert replaced == 1
    assert [one.levelname for one in caplog.records if "restored from a backup" in one.getMessage()] == ["WARNING"]


async def test_a_lease_that_does_not_exist_yet_is_created(tmp_path: Path) -> None:
    async with FakeApi(tmp_path) as api, KubeClient(tmp_path / "kubeconfig", 5.0, "test") as client:
        lease = NodeLease(client, "vss", "n1", holder="h", publishes=[], vouches=lambda: True)
        api.refuse(f"PATCH {LEASES}/handler-n1", 404)
        api.expect(f"POST {LEASES}", {"metadata": {"resourceVersion": "5"}})
        assert await lease._renew()
