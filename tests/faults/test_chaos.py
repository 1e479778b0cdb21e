"""Real faults on real processes: a short run of what `make chaos` does for any duration."""

from collections.abc import Iterator
from itertools import product

import pytest

from tests.faults import chaos, report
from tests.faults.record import Kind, Target
from tests.faults.stand import Stand

EVERYTHING = set(product(Target, Kind))
#: Fixed, so that a failed run can be repeated; `make chaos` takes another one each time.
SEED = 1


@pytest.fixture
def stand() -> Iterator[Stand]:
    with Stand(chaos.MACHINES) as running:
        yield running


@pytest.mark.timeout(400)
def test_every_promise_is_kept_through_every_kind_of_fault(stand: Stand) -> None:
    """Agent, handler, libvirtd, QEMU, kube-apiserver, etcd: each is killed, frozen and restarted at least once."""
    run = chaos.run(stand, SEED, more=lambda sofar: sofar.planned < EVERYTHING)
    assert run.violations == [], report.failure(run)
    assert set(run.faults) == EVERYTHING
    assert run.acks
    assert run.viewers
