"""The loop around a connection: waiting for libvirt, losing it, finding it again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from launcher_agent.errors import LibvirtError, LibvirtGoneError
from launcher_agent.events import Change, Phase
from launcher_agent.state import Life, State
from launcher_agent.vm.domains import Domain
from launcher_agent.vm.liveness import TIME_LIMIT
from launcher_agent.vm.query_policy import QueryPolicy
from launcher_agent.vm.supervisor import Supervisor
from servicestatus.reasons import Reason
from tests.unit.agent.fakes import UNIX, FakeConnection, FakeLibvirt, VirtualTime, highest, settle, tcp

RUNNING = Domain("vm", 7)


class Scene:
    def __init__(self, wanted: str | None = None, *, policy: QueryPolicy = QueryPolicy.AUTO) -> None:
        self.libvirt = FakeLibvirt()
        self.time = VirtualTime()
        self.state = State(self.time.clock)
        self.watcher = Supervisor(
            self.libvirt, self.state, wanted, policy=policy, sleep=self.time.sleep, uniform=highest
        )

    @property
    def seen(self) -> tuple[Reason, int]:
        return self.state.observation.reason, self.state.table.view().sessions


@asynccontextmanager
async def running(wanted: str | None = None, *, policy: QueryPolicy = QueryPolicy.AUTO) -> AsyncIterator[Scene]:
    scene = Scene(wanted, policy=policy)
    task = asyncio.create_task(scene.watcher.run())
    await settle()
    yield scene
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def reconciled(scene: Scene, connection: FakeConnection, *clients: object) -> None:
    await scene.libvirt.offer(connection)
    await scene.time.advance(2.0)
    await connection.answer(*clients)  # type: ignore[arg-type]
    await scene.time.advance(0.2)


async def test_before_libvirt_is_there_nothing_is_observed() -> None:
    async with running() as scene:
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 0)
        assert scene.state.observation.message == "not connected yet"
        await scene.libvirt.offer(LibvirtError("no such socket"))
        assert scene.state.observation.message == "no such socket"


async def test_it_waits_for_libvirt_with_growing_pauses_of_at_most_two_seconds() -> None:
    async with running() as scene:
        for _ in range(6):
            await scene.libvirt.offer(LibvirtError("no such socket"))
            await scene.time.advance(2.0)
        assert [pause for pause in scene.time.slept if pause != TIME_LIMIT] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


async def test_a_libvirt_that_refuses_every_look_up_is_asked_ever_more_seldom_and_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refusing() -> FakeConnection:
        connection = FakeConnection(RUNNING)
        connection.listing_error = LibvirtError("access denied")
        return connection

    caplog.set_level("INFO")
    async with running() as scene:
        for _ in range(6):
            await scene.libvirt.offer(refusing())
            await scene.time.advance(2.0)
        assert [pause for pause in scene.time.slept if pause <= 2.0] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
        lines = [record.getMessage() for record in caplog.records]
        assert lines == ["the connection to libvirt is lost: access denied; connecting again"]
        connection = FakeConnection(RUNNING)
        await reconciled(scene, connection, UNIX)
        assert scene.seen == (Reason.WATCHING, 1)
        assert caplog.records[-1].getMessage() == "connected to libvirt"


async def test_a_lost_libvirt_leaves_the_last_numbers_which_are_no_longer_observed() -> None:
    async with running() as scene:
        connection = FakeConnection(RUNNING)
        await reconciled(scene, connection, UNIX)
        assert scene.seen == (Reason.WATCHING, 1)
        await connection.lose("libvirt does not answer")
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 1)
        assert scene.state.observation.message == "libvirt does not answer"
        assert connection.closed


async def test_libvirt_that_is_back_is_asked_and_the_count_comes_out_right() -> None:
    async with running() as scene:
        first, second = FakeConnection(RUNNING), FakeConnection(RUNNING)
        await reconciled(scene, first, UNIX, UNIX)
        await first.lose()
        await reconciled(scene, second, UNIX)
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.state.stats.libvirt_connects == 2


async def test_a_domain_that_ended_while_libvirt_was_away_has_no_viewers() -> None:
    async with running() as scene:
        first, second = FakeConnection(RUNNING), FakeConnection(Domain("vm", None))
        await reconciled(scene, first, UNIX)
        await first.lose()
        await scene.libvirt.offer(second)
        await scene.time.advance(2.0)
        assert scene.seen == (Reason.WATCHING, 0)
        assert scene.state.life is Life.ENDED


async def test_a_domain_that_is_gone_after_libvirt_was_away_has_no_viewers() -> None:
    async with running() as scene:
        first = FakeConnection(RUNNING)
        await reconciled(scene, first, UNIX)
        await first.lose()
        await scene.libvirt.offer(FakeConnection())
        await scene.time.advance(2.0)
        assert scene.seen == (Reason.NO_DOMAIN, 0)
        assert scene.state.life is Life.ENDED


async def test_a_named_domain_that_is_gone_after_libvirt_was_away_may_run_under_another_name() -> None:
    async with running("vm") as scene:
        first = FakeConnection(RUNNING)
        await reconciled(scene, first, UNIX)
        await first.lose()
        await scene.libvirt.offer(FakeConnection(Domain("renamed", 7)))
        await scene.time.advance(2.0)
        assert scene.seen == (Reason.DOMAIN_NOT_DEFINED, 0)


async def test_a_tcp_viewer_that_stayed_is_the_same_session() -> None:
    async with running() as scene:
        first, second = FakeConnection(Domain("vm", None)), FakeConnection(RUNNING)
        await scene.libvirt.offer(first)
        await first.lifecycle(Change.STARTED, run=7)
        await first.viewer(tcp(40001))
        before = scene.state.table.view()
        await first.lose()
        await reconciled(scene, second, tcp(40001))
        after = scene.state.table.view()
        assert (after.identified, after.since) == (before.identified, before.since)


async def test_a_viewer_that_was_unfinished_when_libvirt_was_lost_may_have_finished_since() -> None:
    async with running() as scene:
        first, second = FakeConnection(Domain("vm", None)), FakeConnection(RUNNING)
        await scene.libvirt.offer(first)
        await first.lifecycle(Change.STARTED, run=7)
        await first.graphics(Phase.CONNECT, tcp(40001))
        assert scene.seen == (Reason.WATCHING, 0)
        await first.lose()
        await reconciled(scene, second, tcp(40001))
        assert scene.seen == (Reason.WATCHING, 1)


async def test_told_never_to_ask_it_knows_nothing_of_the_viewers_after_a_gap() -> None:
    async with running(policy=QueryPolicy.NEVER) as scene:
        first, second = FakeConnection(Domain("vm", None)), FakeConnection(RUNNING)
        await scene.libvirt.offer(first)
        await first.lifecycle(Change.STARTED, run=7)
        await first.viewer()
        await first.lose()
        await scene.libvirt.offer(second)
        await scene.time.advance(2.0)
        assert scene.seen == (Reason.LOWER_BOUND, 0)


async def ended(scene: Scene) -> FakeConnection:
    connection = FakeConnection(RUNNING)
    await reconciled(scene, connection, UNIX)
    connection.listed = ()
    await connection.lifecycle(Change.STOPPED)
    return connection


async def test_a_libvirt_that_ends_after_its_domain_leaves_nobody_connected(caplog: pytest.LogCaptureFixture) -> None:
    """Each VM that stops ends this way, so the log has no warning of it."""
    async with running() as scene:
        connection = await ended(scene)
        await connection.lose(gone=True)
        await scene.libvirt.offer(LibvirtGoneError("no such socket"))
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.NO_DOMAIN, 0)
        assert scene.state.observation.message == "the domain has ended, and libvirt after it"
        assert [record.levelname for record in caplog.records if record.levelname == "WARNING"] == []
        again = FakeConnection(Domain("vm", 8))
        await reconciled(scene, again, UNIX)
        assert scene.seen == (Reason.WATCHING, 1)


async def test_a_libvirt_that_hangs_after_the_end_of_its_domain_is_not_observed() -> None:
    async with running() as scene:
        connection = await ended(scene)
        await connection.lose(gone=True)
        await scene.libvirt.offer(LibvirtGoneError("no such socket"))
        await scene.time.advance(2.0)
        await scene.time.advance(4.5)
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 0)
        assert scene.state.observation.message == "libvirt has not accepted the connection for 4.5 s"


async def test_a_libvirt_that_was_lost_otherwise_after_the_end_of_its_domain_is_not_observed() -> None:
    async with running() as scene:
        connection = await ended(scene)
        await connection.lose("libvirt does not answer")
        await scene.libvirt.offer(LibvirtGoneError("no such socket"))
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 0)


async def test_a_libvirt_that_ends_while_its_domain_runs_is_not_observed(caplog: pytest.LogCaptureFixture) -> None:
    """And the log warns of it."""
    async with running() as scene:
        connection = FakeConnection(RUNNING)
        await reconciled(scene, connection, UNIX)
        await connection.lose(gone=True)
        await scene.libvirt.offer(LibvirtGoneError("no such socket"))
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 1)
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
            "the connection to libvirt is lost: libvirt closed the connection; connecting again"
        ]


async def test_a_connection_is_closed_when_the_agent_stops() -> None:
    connection = FakeConnection(RUNNING)
    async with running() as scene:
        await scene.libvirt.offer(connection)
        assert not connection.closed
    assert connection.closed
