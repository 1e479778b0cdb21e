"""The agent or the handler is killed, frozen, stopped, late or doubled, with viewers connected. Never a wrong 0."""

from collections.abc import Iterator

import pytest

from testbed.pool import ViewerPool
from testbed.promises import SHOWN_WITHIN
from testbed.vm import VirtualMachine
from testbed.waiting import wait_until
from tests.libvirt.pair import Pair

#: Stream settings with a short lease, so that a test need not wait long for its end.
_SHORT = ("--heartbeat-interval=500ms", "--lease=2s")


@pytest.fixture
def pair(vm: VirtualMachine) -> Iterator[Pair]:
    with Pair(vm, handler=_SHORT) as both:
        yield both.start()


def test_an_agent_that_is_killed_leaves_its_value_and_after_a_lease_it_is_unknown(
    pair: Pair, viewers: ViewerPool
) -> None:
    """No program knows whether the viewer is still connected: the value stays, and is marked as unknown."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    with pair.sample() as sampler:
        pair.agent.kill()
        viewers.close_all()
        summary = pair.wait_unknown()["services"][0]
        assert summary["sessions"] == 1
        assert "AgentSilent" in summary["message"]
    assert sampler.values == [1], str(sampler)


def test_an_agent_that_is_restarted_finds_the_viewers_that_are_there(pair: Pair, viewers: ViewerPool) -> None:
    """The agent asks QEMU which viewers came and left in the meantime."""
    goes = viewers.establish(pair.machine.address)
    viewers.establish(pair.machine.address)
    pair.wait_sessions(2)
    with pair.sample() as sampler:
        pair.agent.kill()
        goes.close()
        pair.agent.start()
        pair.wait_observed()
        pair.wait_sessions(1, timeout=SHOWN_WITHIN)
        pair.agent.kill()
        viewers.establish(pair.machine.address)
        viewers.establish(pair.machine.address)
        pair.agent.start()
        pair.wait_sessions(3, timeout=SHOWN_WITHIN)
    assert None not in sampler.values, str(sampler)


def test_an_agent_that_starts_late_counts_who_is_there(vm: VirtualMachine, viewers: ViewerPool) -> None:
    """Its VM ran before it, with viewers; an unfinished client counts until it leaves."""
    viewers.establish(vm.address)
    viewers.establish(vm.address)
    with Pair(vm) as pair:
        pair.start()
        pair.wait_sessions(2)
        assert int(pair.endpoint()["counters"]["queries"]) >= 1
        viewers.close_all()
        pair.wait_sessions(None)


def test_an_agent_that_may_not_ask_says_that_its_count_is_a_lower_bound(
    vm: VirtualMachine, viewers: ViewerPool
) -> None:
    """It raises the value and never lowers it, until the VM starts again."""
    viewers.establish(vm.address)
    with Pair(vm, agent=["--no-query"]) as pair:
        pair.handler.start()
        pair.agent.start()
        status = pair.wait_status(
            lambda status: (
                status["endpoints"][0].get("observation", {}).get("reason") == "OBSERVATION_REASON_LOWER_BOUND"
            ),
            "the agent reports a lower bound",
        )
        assert not status["services"][0].get("observed")
        newcomer = viewers.establish(vm.address)
        pair.wait_sessions(1)
        with pair.sample() as sampler:
            newcomer.close()
            pair.wait_status(lambda status: not status["services"][0].get("sessions"), "it reports no session")
        assert sampler.values == [1], str(sampler)
        assert pair.endpoint()["services"][0]["accuracy"] == "ACCURACY_LOWER_BOUND"
        vm.destroy()
        pair.wait_sessions(None)
        pair.wait_observed()


def test_a_frozen_agent_becomes_unknown_and_thawed_it_is_right(pair: Pair, viewers: ViewerPool) -> None:
    """What happened in the meantime is in its events, or in QEMU's response."""
    goes = viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    with pair.sample() as sampler:
        pair.agent.freeze()
        pair.wait_unknown()
        viewers.establish(pair.machine.address)
        viewers.establish(pair.machine.address)
        goes.close()
        pair.agent.thaw()
        pair.wait_observed()
        pair.wait_sessions(2, timeout=SHOWN_WITHIN)
    assert None not in sampler.values, str(sampler)


def test_a_handler_that_is_killed_and_restarted_writes_nothing_before_it_is_proved(
    pair: Pair, viewers: ViewerPool
) -> None:
    """It replaces its stale socket, and the value follows what happened in the meantime."""
    goes = viewers.establish(pair.machine.address)
    viewers.establish(pair.machine.address)
    pair.wait_sessions(2)
    with pair.sample() as sampler:
        pair.handler.kill()
        goes.close()
        pair.handler.start()
        pair.wait_observed()
        pair.wait_sessions(1, timeout=SHOWN_WITHIN)
        pair.handler.kill()
        viewers.establish(pair.machine.address)
        pair.handler.start()
        pair.wait_observed()
        pair.wait_sessions(2, timeout=SHOWN_WITHIN)
    assert sampler.values == [2, 1, 2], str(sampler)


def test_a_handler_that_starts_without_an_agent_leaves_the_value_and_flags_it(pair: Pair, viewers: ViewerPool) -> None:
    """After its first lease the value is unknown; it is not lowered."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    pair.agent.kill()
    pair.handler.restart()
    with pair.sample() as sampler:
        summary = pair.wait_status(
            lambda status: status["endpoints"][0]["state"] == "ENDPOINT_STATE_SILENT", "the lease has ended"
        )["services"][0]
    assert not summary.get("observed")
    assert "NoAgent" in summary["message"]
    assert sampler.values == [1], str(sampler)


def test_a_frozen_handler_is_noticed_by_the_agent_and_thawed_it_is_right(pair: Pair, viewers: ViewerPool) -> None:
    """Within 10 s, by HTTP/2 pings: no connection breaks."""
    goes = viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    with pair.sample() as sampler:
        pair.handler.freeze()
        viewers.establish(pair.machine.address)
        viewers.establish(pair.machine.address)
        goes.close()
        wait_until(
            lambda: pair.agent_status()["handler"]["state"],
            lambda state: state != "STREAM_STATE_REPORTING",
            what="the agent has noticed",
            timeout=SHOWN_WITHIN + 5,  # the promise is the product's; five seconds are for grpcurl on a busy machine
            interval=0.1,
        )
        pair.handler.thaw()
        pair.wait_observed()
        pair.wait_sessions(2, timeout=SHOWN_WITHIN)
    assert None not in sampler.values, str(sampler)


def test_a_handler_that_is_stopped_leaves_the_value_and_ends_well(pair: Pair, viewers: ViewerPool) -> None:
    """SIGTERM drains: the agent receives DrainNotice, exits are 0, sockets are gone, and the next handler is right."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    with pair.sample() as sampler:
        assert pair.handler.stop() == 0
        assert not pair.handler_socket.exists()
        pair.handler.start()
        pair.wait_observed()
    assert sampler.values == [1], str(sampler)


def test_an_agent_that_is_stopped_says_goodbye_and_the_value_is_unknown_at_once(
    pair: Pair, viewers: ViewerPool
) -> None:
    """No lease has to expire for that."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    assert pair.agent.stop() == 0
    status = pair.wait_unknown()
    assert status["endpoints"][0]["state"] == "ENDPOINT_STATE_GOODBYE"
    assert "AgentStopped" in status["services"][0]["message"]
    assert pair.sessions == 1


def test_a_second_handler_on_the_same_socket_is_refused(pair: Pair, viewers: ViewerPool) -> None:
    """With a line that names the socket and the process that serves it; the first one keeps running."""
    with pair.another_handler(f"--admin-socket={pair.directory / 'other.sock'}") as second:
        assert second.wait() == 1
        assert f"{pair.handler_socket} is served by another process (pid {pair.handler.pid})" in second.log_text()
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)


def test_a_second_agent_on_the_same_admin_socket_is_refused(pair: Pair) -> None:
    """With a line that names the socket and the process that serves it."""
    with pair.another_agent() as second:
        assert second.wait() == 1
        assert "agent.sock" in second.log_text()


def test_a_second_agent_on_the_same_handler_socket_supersedes_the_first(pair: Pair, viewers: ViewerPool) -> None:
    """One of them reports at a time, and the value stays right whichever it is."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    first = pair.endpoint()["instance"]
    with pair.sample() as sampler, pair.another_agent("--admin-socket="):
        pair.wait_status(lambda status: status["endpoints"][0]["instance"] != first, "the other one reports")
        viewers.establish(pair.machine.address)
        pair.wait_sessions(2, timeout=SHOWN_WITHIN)
    assert sampler.values == [1, 2], str(sampler)
