"""The wall clock of both programs is stepped, far and in both directions; only the times that they show change."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.libvirtd import PrivateLibvirt
from testbed.pool import ViewerPool
from testbed.promises import SHOWN_WITHIN
from testbed.vm import VirtualMachine, VirtualMachines
from tests.faults.clocks import SteppedClock
from tests.libvirt.pair import Pair

HOUR, YEAR = 3600, 366 * 24 * 3600
#: A short lease: a step that ends it, or makes it endless, shows at once.
LEASE = 4.0
TERMS = ("--heartbeat-interval=500ms", f"--lease={LEASE:g}s")


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[SteppedClock]:
    with SteppedClock(tmp_path) as stepped:
        yield stepped


@pytest.fixture
def vm() -> Iterator[VirtualMachine]:
    with PrivateLibvirt() as libvirtd, VirtualMachines(libvirtd) as machines:
        yield machines.new().start()


@pytest.fixture
def pair(vm: VirtualMachine, clock: SteppedClock) -> Iterator[Pair]:
    with Pair(vm, handler=TERMS, env=clock.environment) as both:
        yield both.start()


def test_a_program_under_the_stepped_clock_sees_the_step_and_sleeps_as_ever(clock: SteppedClock) -> None:
    """This checks the tool: the wall clock jumps, the monotonic clock and sleep do not."""
    clock.step(HOUR)
    program = "import time; a = time.monotonic(); time.sleep(0.1); print(time.time(), time.monotonic() - a)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=clock.environment, stdout=subprocess.PIPE, text=True, check=True
    )
    wall, slept = map(float, done.stdout.split())
    assert HOUR - 60 < wall - time.time() < HOUR + 60
    assert 0.1 <= slept < 30


def test_steps_of_the_wall_clock_change_nothing(pair: Pair, viewers: ViewerPool, clock: SteppedClock) -> None:
    """An hour, years, back to 1990: viewers are counted as before, the lease is kept, and the stream stays the same."""
    first = viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    sessions = 1
    with pair.sample() as samples:
        for step in (HOUR, -HOUR, 5 * YEAR, -30 * YEAR, 0):
            clock.step(step)
            _outlast_a_lease(pair)
            viewers.establish(pair.machine.address)
            sessions += 1
            pair.wait_sessions(sessions, timeout=SHOWN_WITHIN)
        first.close()
        pair.wait_sessions(sessions - 1)
    assert samples.values == [1, 2, 3, 4, 5, 6, 5]
    status = pair.endpoint()
    assert int(status["streams"]) == 1, status
    assert "resyncs" not in status, status
    for program in (pair.handler, pair.agent):
        assert [line for line in program.log_text().splitlines() if " WARNING " in line or " ERROR " in line] == []


def test_a_lease_ends_in_its_own_time_whatever_the_wall_clock_says(
    pair: Pair, viewers: ViewerPool, clock: SteppedClock
) -> None:
    """After a step back by years, a silent agent is unknown after a lease, and not after years."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    began = time.monotonic()
    pair.agent.kill()
    clock.step(-5 * YEAR)
    pair.wait_unknown()
    assert time.monotonic() - began > 1
    assert pair.sessions == 1


def _outlast_a_lease(pair: Pair) -> None:
    """The value is sampled all the time."""
    until = time.monotonic() + LEASE + 0.5
    while time.monotonic() < until:
        assert pair.summary().get("observed"), pair.handler_status()
        time.sleep(0.1)
