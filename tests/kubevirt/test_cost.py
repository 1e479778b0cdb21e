"""What the project costs a VM of a real KubeVirt: the time to start and to end, with the agent and without it."""

import statistics
import sys
import time
from collections.abc import Callable

import pytest

from tests.cluster.objects import Object
from tests.kubevirt.machines import AGENT, Machine, Machines

ROUNDS = 5
#: Of a VM that is to have no agent.
WITHOUT = {"servicestatus.kubevirt.io/inject": "false"}


def measure(act: Callable[[], object]) -> float:
    start = time.monotonic()
    act()
    return time.monotonic() - start


def agents(pod: Object) -> list[str]:
    return [container["name"] for container in pod["spec"].get("initContainers", []) if container["name"] == AGENT]


def test_a_vm_starts_and_ends_as_quickly_as_without_us(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    """The median of both, in turns, is printed. The limits are wide: other work of the machine comes on top."""
    starts: dict[str, list[float]] = {"with": [], "without": []}
    ends: dict[str, list[float]] = {"with": [], "without": []}

    def run(kind: str, name: str) -> None:
        start = time.monotonic()
        machine: Machine = machines.create(name, labels={} if kind == "with" else WITHOUT)
        machine.wait_running()
        starts[kind].append(time.monotonic() - start)
        assert agents(machine.pod.object()) == ([AGENT] if kind == "with" else [])
        ends[kind].append(measure(machine.delete))

    for number in range(ROUNDS):
        for kind in ("with", "without"):
            run(kind, f"vm-{kind}-{number}")
    for what, times in (("start", starts), ("end", ends)):
        median = {kind: statistics.median(values) for kind, values in times.items()}
        with capsys.disabled():
            sys.stdout.write(f"\n{what}: {median['with']:.2f} s, without us {median['without']:.2f} s\n")
        assert median["with"] - median["without"] < 3, times
