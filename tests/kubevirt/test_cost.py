"""The time that a VM of a real KubeVirt needs to start and to end, with the agent and without it."""

import statistics
import sys
import time
from collections.abc import Mapping, Sequence

import pytest

from tests.kubevirt.machines import WITHOUT, Machine, Machines

ROUNDS = 5
KINDS: Mapping[str, Mapping[str, str]] = {"with": {}, "without": WITHOUT}


def test_a_vm_starts_and_ends_as_quickly_as_without_us(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    """The medians are printed. The limits are wide: other work of the machine is included.

    VMs start in turns, one with the agent and one without. They all end at once, since each needs 10 s and mostly
    waits; both kinds have the same conditions.
    """
    starts: dict[str, list[float]] = {kind: [] for kind in KINDS}
    started: dict[str, list[Machine]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS):
        for kind, labels in KINDS.items():
            begin = time.monotonic()
            machine = machines.start(f"vm-{kind}-{number}", labels=labels)
            starts[kind].append(time.monotonic() - begin)
            started[kind].append(machine)
            assert machine.has_agent == (kind == "with")
    ends = measure_ends(machines, started)
    for what, times in (("start", starts), ("end", ends)):
        median = {kind: statistics.median(values) for kind, values in times.items()}
        with capsys.disabled():
            sys.stdout.write(f"\n{what}: {median['with']:.2f} s, without us {median['without']:.2f} s\n")
        assert median["with"] - median["without"] < 3, times


def measure_ends(machines: Machines, started: Mapping[str, Sequence[Machine]]) -> dict[str, list[float]]:
    """Return the seconds from each one's deletion until it is gone."""
    asked: dict[str, float] = {}
    with machines.record() as versions:
        for pair in zip(*started.values(), strict=True):
            for machine in pair:
                asked[machine.vmi.name] = time.monotonic()
                machine.vmi.delete()
        machines.wait_none()
    gone = {event.object["metadata"]["name"]: event.at for event in versions.events if event.kind == "DELETED"}
    names = {kind: [machine.vmi.name for machine in chosen] for kind, chosen in started.items()}
    return {kind: [gone[name] - asked[name] for name in chosen] for kind, chosen in names.items()}
