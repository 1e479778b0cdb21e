"""A launcher pod in the wrong hands: whatever it does with its socket, it costs kilobytes and harms its own VM alone.

What is done to the path of the socket rather than through it is in tests/apiserver/test_pods_directory.py.
"""

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from testbed.promises import SHOWN_WITHIN
from tests.apiserver.peers import Peers
from tests.hostile.attacks import ATTACKS
from tests.hostile.stage import Result, suffer

#: Stages at once: most of an attack is waiting.
PARALLEL = 3
KIB = 1024
#: Bytes that an attacked socket may cost.
BOUND = 256 * KIB
MEASUREMENTS = 3
#: Each line of the log is one of ours.
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [\w.]+: [^\x00-\x1f]*$")

Results = Callable[[str], Result]


def _suffered(attack: str, peers: Peers) -> Result:
    """The least of up to three measurements: what the allocator adds is not caused by the attack, and happens once."""
    results = [suffer(attack, peers)]
    while results[-1].grown > BOUND and len(results) < MEASUREMENTS:
        results.append(suffer(attack, peers))
    return min(results, key=lambda result: result.grown)


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[Results]:
    """All attacks that were selected are begun with the first one that is asked for."""
    selected = [item.callspec.params.get("attack") for item in request.session.items if hasattr(item, "callspec")]
    with Peers() as peers, ThreadPoolExecutor(PARALLEL) as pool:
        begun: dict[str, Future[Result]] = {
            name: pool.submit(_suffered, name, peers) for name in selected if name in ATTACKS
        }
        yield lambda name: begun[name].result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(300)  # the pool's order is not pytest's
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_enemy_costs_kilobytes_and_harms_no_neighbour(attack: str, results: Results) -> None:
    """At most 256 KiB for each attacked socket; the neighbour's value is right and on time; a few lines in the log."""
    result = results(attack)
    sys.stdout.write(f"{attack}: {result}\n")
    assert result.grown <= BOUND, result
    assert result.latency < SHOWN_WITHIN, result
    assert result.survived, result
    assert result.units > 0, "nothing was done"
    for lines in result.lines:
        said = [line.partition("enemy-")[2].partition(": ")[2] for line in lines]
        assert len(said) == len(set(said)), "a refusal is logged once"
        assert len(said) <= 4, said
    assert len(result.log) < 16 * KIB, result.log
    assert "INFO handler_service: forged" not in result.log, "a peer wrote a line of the log"
    assert all(LINE.match(line) for line in result.log.splitlines()), result.log
