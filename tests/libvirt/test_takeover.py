"""When a second viewer takes a session over, the value stays 1: it becomes neither absent nor 2."""

import time
from collections.abc import Iterator

import pytest

from testbed.event_log import DISCONNECT, INITIALIZE, EventLog
from testbed.kubevirt_proxy import VncProxy
from testbed.vm import VirtualMachine
from testbed.waiting import wait_until
from tests.libvirt.pair import Pair

#: Longer than every delay of the publisher (1 s for a fall, 0.3 s for a rise), so that a wrong value would be written.
_PAUSE = 2.0
#: Seconds for which both viewers of a takeover may be initialized. If a machine delays an end by more than the 0.3 s of
#: a rise, the takeover cannot be distinguished from a second viewer, and is repeated.
_OVERLAP = 0.2


@pytest.fixture
def pair(vm: VirtualMachine) -> Iterator[Pair]:
    with Pair(vm) as both:
        yield both.start()


@pytest.fixture
def proxy(pair: Pair) -> Iterator[VncProxy]:
    with VncProxy(pair.machine.address) as kubevirt:
        yield kubevirt


def test_kubevirts_takeover_does_not_blink_while_the_new_viewer_has_only_connected(pair: Pair, proxy: VncProxy) -> None:
    """CONNECT(new), DISCONNECT(old), and INITIALIZE(new) two seconds later."""
    proxy.open()
    pair.wait_sessions(1)
    with pair.sample() as sampler:
        for _ in range(3):
            newcomer = proxy.dial()
            time.sleep(_PAUSE)  # the duration itself is tested
            newcomer.handshake()
    assert sampler.values == [1], str(sampler)
    assert pair.summary()["accuracy"] == "ACCURACY_EXACT"


def test_an_exclusive_takeover_does_not_blink(pair: Pair, proxy: VncProxy) -> None:
    """CONNECT(new), INITIALIZE(new), and DISCONNECT(old) up to 80 ms later."""
    proxy.take_over()
    pair.wait_sessions(1)
    with EventLog(pair.machine.libvirtd.uri, pair.machine.name) as events:
        while True:
            events.clear()
            with pair.sample() as sampler:
                for _ in range(10):
                    proxy.take_over()
                wait_until(lambda: events.count(DISCONNECT), (10).__eq__, what="the old viewers are gone")
                time.sleep(_PAUSE)  # a wrong value would be written by now
            if longest_overlap(events) < _OVERLAP:
                break
    assert sampler.values == [1], str(sampler)


def longest_overlap(events: EventLog) -> float:
    """Return the longest time for which both viewers of a takeover were initialized."""
    begun, ended = ([event.at for event in events.graphics if event.phase == one] for one in (INITIALIZE, DISCONNECT))
    return max(end - begin for begin, end in zip(begun, ended, strict=True))


def test_an_exclusive_viewer_throws_all_shared_ones_out(pair: Pair, proxy: VncProxy) -> None:
    """From three to one, without four or absent in between."""
    others = [proxy.open(), *(VncProxy(pair.machine.address).open() for _ in range(2))]
    pair.wait_sessions(3)
    with pair.sample() as sampler:
        proxy.take_over()
        pair.wait_sessions(1)
    assert sampler.values in ([3, 1], [3, 2, 1]), str(sampler)
    for other in others:
        other.close()
