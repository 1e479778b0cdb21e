"""A short soak, so that the long ones (`make soak`) do not rot."""

import pytest

from testbed.waiting import wait_until
from tests.faults import soak
from tests.faults.crowd import Crowd
from tests.faults.soak import Act

#: An hour is 12,600 acts; this part of it takes 2 s on a quiet machine, and 20 s on a busy one.
HOURS = 0.12


@pytest.mark.timeout(400)
def test_nothing_grows_with_the_churn() -> None:
    """Viewers, agents and VMs come and go: memory, descriptors, threads and tasks are what they were."""
    with Crowd(soak.AGENTS) as crowd:
        soak.accelerated(crowd, HOURS / 3, seed=2)  # pools fill
        crowd.wait_right()
        before = crowd.reading(0.0)
        done = soak.accelerated(crowd, HOURS)
        crowd.wait_right()
        assert done.acts == {Act.VIEWERS: 1440, Act.RECONNECT: 48, Act.REPLACE: 24}
        # Connections of agents and pods that ended may still be closing; a leak never closes.
        wait_until(
            lambda: soak.left(before, crowd.reading(done.seconds)), lambda found: found == [], what="nothing is left"
        )
