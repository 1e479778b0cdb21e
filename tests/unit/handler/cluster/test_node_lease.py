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
