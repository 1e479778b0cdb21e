"""Products of attacks: each is cheap on one socket and once, and is tried here on sixty sockets and without end."""

import sys

import pytest

from testbed.promises import SHOWN_WITHIN
from tests.apiserver.peers import Peers
from tests.hostile.stage import suffer_together

#: Launcher pods of a node that are taken over at the same time.
SOCKETS = 60
#: Bytes for each socket, as for eight of them.
BOUND = 256 * 1024
#: Seconds of CPU in a second, for each socket: what its rate pays for is 8 calls, 4 connections or 256 reads.
BUSY = 0.004

PRODUCTS = [
    "calls-and-churn",
    "resets-and-churn",
    "settings-and-churn",
    "pings-and-churn",
    "hellos-and-churn",
    "few-calls-at-a-time",
    "connection-churn",
    "mute-connections",
    "one-byte-at-a-time",
    "rapid-hello",
]


@pytest.mark.parametrize("attack", PRODUCTS)
def test_sixty_enemies_cost_sixty_times_what_one_costs(attack: str) -> None:
    """In memory and in CPU; and a neighbour's value is right and on time."""
    with Peers() as peers:
        result = suffer_together(attack, SOCKETS, peers)
    sys.stdout.write(f"{attack}: {result}\n")
    assert result.grown <= SOCKETS * BOUND, result
    assert result.busy <= SOCKETS * BUSY, result
    assert result.latency < SHOWN_WITHIN, result
    assert result.units > 0, "nothing was done"
    assert result.survived, result
