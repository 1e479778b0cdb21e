"""A short soak, so that the long ones (`make soak`) do not rot."""

import pytest

from tests.faults import soak
from tests.faults.crowd import Crowd
from tests.faults.soak import Act

#: An hour is 12,600 acts; this part of it takes 20 s.
HOURS = 0.12


@pytest.mark.timeout(400)
def test_nothing_grows_with_the_churn() -> None:
    """Viewers, agents and VMs come and go: memory, descriptors, threads and tasks are what they were."""
    with Crowd(soak.AGENTS) as crowd:
        done = soak.accelerated(crowd, HOURS)
        crowd.wait_right()
    assert done.acts == {Act.VIEWERS: 1440, Act.RECONNECT: 48, Act.REPLACE: 24}
    assert soak.leaks(done) == [], soak.table(done)
