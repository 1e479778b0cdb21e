"""Sixty pods of a node report nothing but rising numbers; the values of the other VMs are written in time.

The time is counted in writes of the publisher, of which the node makes 25 a second: an API server on a busy machine may
take fewer, and then the bound in seconds does not hold (docs/write-policy.md).
"""

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from handler_service.publishing.policy import NODE_INTERVAL
from servicestatus.v1 import sessions_pb2 as types
from testbed.promises import SHOWN_WITHIN
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peer, Peers
from tests.apiserver.vmis import Told, Vmi, seen, unknown

pytestmark = [pytest.mark.usefixtures("service_status_schema"), pytest.mark.timeout(600)]

HOSTILE: Final = 60
#: What each honest VM shows first, then reports, and is to show: (sessions, reason of not being observed).
UNREACHABLE: Final = types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE
CHANGES: Final[dict[str, tuple[int, int, "types.ObservationReason | None", Told]]] = {
    "fall": (1, 0, None, seen(0)),
    "first-rise": (0, 1, None, seen(1)),
    "rise": (1, 2, None, seen(2)),
    "withdrawn-zero": (0, 0, UNREACHABLE, unknown(0, "LibvirtUnreachable")),
    "unknown-number": (1, 1, UNREACHABLE, unknown(1, "LibvirtUnreachable")),
}
#: Writes of a publisher until a change is shown: as many as the node makes in that time. What is read of the handler's
#: metrics may be a second old.
IN_TIME: Final = (SHOWN_WITHIN + 1) / NODE_INTERVAL
#: Seconds until the test ends, if changes are never shown.
TIMEOUT: Final = 90.0
#: Seconds between two numbers of a hostile pod.
PACE: Final = 0.8
#: A value has waited for so long: the bucket of the node is empty, and each VMI gets less than it asks for.
WAITED: Final = 1.2


def test_sixty_rising_numbers_delay_no_honest_value_beyond_its_bound(
    client: Client, namespace: str, new_node: Callable[[], Node], peers: Peers
) -> None:
    """A fall, a first viewer, a further one, a zero and a number that are not observed any more."""
    node = new_node()
    hostile = [node.run(Vmi(client, namespace, f"rising-{number:02}")) for number in range(HOSTILE)]
    honest = {name: node.run(Vmi(client, namespace, name)) for name in CHANGES}
    with node.handler() as handler:
        agents = dict(zip(honest, peers.connect_all([vmi.socket for vmi in honest.values()]), strict=True))
        for name, (before, *_) in CHANGES.items():
            agents[name].snapshot(before)
        enemies = peers.connect_all([vmi.socket for vmi in hostile])
        for enemy in enemies:
            enemy.snapshot(1)
        for name, (before, *_) in CHANGES.items():
            honest[name].wait_told(seen(before))
        with _rising(enemies):
            # Twice: a value that is late once and in time by chance the next time is late.
            for _ in range(2):
                _wait_for_empty_buckets(handler)
                _report_and_wait(handler, honest, agents)
                for name, (before, *_) in CHANGES.items():
                    agents[name].report(before, types.OBSERVATION_REASON_WATCHING)
                for name, (before, *_) in CHANGES.items():
                    honest[name].wait_told(seen(before))
        assert [enemy.ended for enemy in enemies if enemy.ended] == []


def _report_and_wait(handler: Handler, honest: dict[str, Vmi], agents: dict[str, Peer]) -> None:
    """All change in one moment; each is to be shown in time, by the companion and by the VMI's own status."""
    shown: dict[str, Callable[[], bool]] = {
        "companion": lambda: all(honest[name].told() == wanted for name, (*_, wanted) in CHANGES.items()),
        "vmi-status": lambda: all(_number(honest[name]) == after for name, (_, after, *_) in CHANGES.items()),
    }
    before = {publisher: _writes(handler, publisher) for publisher in shown}
    for name, (_, after, reason, _) in CHANGES.items():
        agents[name].report(after, reason)
    taken: dict[str, float] = {}

    def look() -> dict[str, float]:
        for publisher in shown.keys() - taken.keys():
            if shown[publisher]():
                taken[publisher] = _writes(handler, publisher) - before[publisher]
        return taken

    wait_until(look, lambda found: found.keys() == shown.keys(), what="all changes are shown", timeout=TIMEOUT)
    sys.stdout.write(f"writes until all changes are shown: {taken}\n")
    assert 0 < min(taken.values()) <= max(taken.values()) <= IN_TIME, taken


def _number(vmi: Vmi) -> int:
    """Return what the VMI's own status shows."""
    number: int = (vmi.service_status() or {}).get("vncSessions", 0)
    return number


def _writes(handler: Handler, publisher: str) -> float:
    """Return how many writes a publisher has tried so far."""
    lines = [line for line in handler.metrics().splitlines() if line.startswith("vmi_service_status_publishes_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'publisher="{publisher}"' in line)


@contextmanager
def _rising(enemies: list[Peer]) -> Iterator[None]:
    """Each says a number that is one more than the last, again and again."""
    stop = threading.Event()

    def work() -> None:
        began = time.monotonic()
        for number in itertools.count(2):
            for index, enemy in enumerate(enemies):
                at = began + PACE * (number - 2 + index / len(enemies))
                if stop.wait(max(0.0, at - time.monotonic())):
                    return
                enemy.report(number)

    thread = threading.Thread(target=work, name="rising", daemon=True)
    thread.start()
    try:
        yield
        assert thread.is_alive(), "the enemies have given up"
    finally:
        stop.set()
        thread.join()


def _wait_for_empty_buckets(handler: Handler) -> None:
    """Of both publishers."""

    def waited() -> float:
        lines = [
            line for line in handler.metrics().splitlines() if line.startswith("vmi_service_status_publish_queue_age")
        ]
        assert len(lines) == 2, lines
        return min(float(line.rpartition(" ")[2]) for line in lines)

    wait_until(waited, lambda seconds: seconds > WAITED, what=f"a value waits for {WAITED:g} s", interval=0.2)
