"""Viewers come and go as fast as QEMU accepts them: few writes, and the final value is exact."""

import time
from pathlib import Path

import pytest

from testbed.sampler import Sampler
from testbed.storm import Storm
from testbed.vm import VirtualMachine
from testbed.waiting import wait_until
from tests.libvirt.pair import Pair, Sessions

_SECONDS = 10.0
#: Seconds for which libvirtd may work off the storm, and answer nothing: 105 s were seen beside other tests. The agent
#: reports then that it does not observe, and connects again.
_BACKLOG = 150.0


@pytest.mark.timeout(600)
def test_a_storm_is_spaced_out_and_ends_with_the_exact_value(vm: VirtualMachine, tmp_path: Path) -> None:
    """Ten seconds without a pause: at most one write a second, a few messages a second, and 7 at the end."""
    with Pair(vm) as pair:
        pair.start()
        before = int(pair.endpoint()["accepted"])
        began = time.monotonic()
        storm = Storm(vm.address, seconds=_SECONDS, left=7, seed=119, log=tmp_path / "storm.log")
        with storm:
            with pair.sample() as sampler:
                result = storm.result()
                # The storm is over when libvirtd has processed QEMU's events: its response comes after that.
                wait_until(
                    vm.vnc_clients,
                    lambda clients: clients == 7,
                    what="QEMU and libvirtd know of the last",
                    timeout=_BACKLOG,
                )
                pair.wait_sessions(7, timeout=_BACKLOG)
            _assert_spaced(pair, sampler, time.monotonic() - began, before)
            assert result.connects > 2 * _SECONDS, "more than may be written"
            storm.release()
            pair.wait_sessions(None, timeout=_BACKLOG)


def _assert_spaced(pair: Pair, sampler: Sampler[Sessions], lasted: float, before: int) -> None:
    status = pair.handler_status()
    # One write a second, one more for a first rise, and one for the document itself.
    assert len(sampler.changes) - 1 <= lasted + 2, str(sampler)
    assert int(status["publications"][0]["writes"]) <= lasted + 3
    # Eight deltas at once and then two a second, by the stream settings in Welcome.
    assert int(status["endpoints"][0]["accepted"]) - before <= 8 + 2 * (lasted + 1)
    assert int(status["endpoints"][0].get("resyncs", 0)) == 0
