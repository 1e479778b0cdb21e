"""Measures the cost of the sidecar, which every VM has: memory, CPU when idle, and CPU of a start.

The sidecar runs in its image and in a separate cgroup, subscribed to a real libvirt, and reports to a handler.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from bench import readings
from bench.containers import Container
from bench.nodes import wait_served
from bench.results import Figure, Row
from bench.sides import OURS, PEER, Side
from bench.stage import Crowd, Stage
from testbed.libvirtd import PrivateLibvirt
from testbed.rfb import Viewer
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until

MANY: Final = 20
#: Seconds.
IDLE: Final = 60.0
MIB: Final = 1 << 20


@dataclass
class Launchers:
    """The launchers of one side, one for each VM."""

    side: Side
    crowd: Crowd
    vms: Sequence[VirtualMachine]
    running: list[Container]


def measure(stage: Stage) -> list[Row]:
    """Run both sides' launchers on the same VMs at the same time; starts are measured one side after the other."""
    with _vms(stage) as vms, ExitStack() as stack:
        both = [stack.enter_context(_launchers(stage, side, vms)) for side in stage.sides]
        starts = {one.side.name: _starts(stage, one) for one in both}
        for one in both:
            _wait_reporting(one)
        time.sleep(stage.seconds(5))
        idle = _idle(both, stage.seconds(IDLE))
        return [*_memory_rows(both), *idle, _start_row(starts)]


@contextmanager
def _vms(stage: Stage) -> Iterator[list[VirtualMachine]]:
    with PrivateLibvirt() as libvirtd, VirtualMachines(libvirtd) as machines:
        yield [machines.new().start() for _ in range(3 if stage.quick else MANY)]


@contextmanager
def _launchers(stage: Stage, side: Side, vms: Sequence[VirtualMachine]) -> Iterator[Launchers]:
    crowd = stage.crowd(len(vms))
    with ExitStack() as stack:
        side.forget_pages()
        handler = stack.enter_context(side.handler(crowd.node))
        wait_served(handler, crowd, side)
        made = [side.launcher(vm, vmi) for vm, vmi in zip(vms, crowd.vmis, strict=True)]
        running = []
        for one in made:  # one after the other, so that the first one reads the files
            running.append(stack.enter_context(one))
            time.sleep(0.1)
        yield Launchers(side, crowd, vms, running)


def _wait_reporting(launchers: Launchers) -> None:
    """Wait until a viewer of each VM is published: by then all lazily loaded code is in memory."""
    viewers = [Viewer.establish(vm.address) for vm in launchers.vms]
    try:
        for vmi in launchers.crowd.vmis:
            wait_until(vmi.service_status, what=f"{vmi.name} shows its viewer")
    finally:
        for viewer in viewers:
            viewer.close()
    for vmi in launchers.crowd.vmis:
        vmi.wait_for(0)


# --- memory -----------------------------------------------------------------------------------------------------------


def _memory_rows(both: Sequence[Launchers]) -> list[Row]:
    ours, peer = ([one.charged() for one in launchers.running] for launchers in both)
    share, others = (
        Figure.of([readings.proportional(one.pid) / MIB for one in launchers.running]) for launchers in both
    )
    rows = []
    for part in ("anon", "file", "kernel"):
        # The first reader of a file is charged with it, so for files the maximum counts.
        of = max if part == "file" else statistics.median
        mine, other = (Figure.of([of(getattr(one, part) / MIB for one in side)]) for side in (ours, peer))
        reached = mine.median <= 18 if part == "anon" else None
        name = f"sidecar memory, its cgroup: {part}{' (the first of a node)' if part == 'file' else ''}"
        rows.append(Row(name, "MiB", mine, other, goal="<= 18" if part == "anon" else "", reached=reached))
    name = f"sidecar memory, proportional, {len(ours)} side by side"
    return [*rows, Row(name, "MiB", share, others)]


# --- doing nothing ----------------------------------------------------------------------------------------------------


def _idle(both: Sequence[Launchers], seconds: float) -> list[Row]:
    """Measure all launchers at the same time: no viewer is connected, and each launcher sends its heartbeats."""
    before = [[_spent(one) for one in launchers.running] for launchers in both]
    begin = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    after = [[_spent(one) for one in launchers.running] for launchers in both]
    cpu, switches = (
        [
            Figure.of([(b[index] - a[index]) / took for a, b in zip(first, then, strict=True)])
            for first, then in zip(before, after, strict=True)
        ]
        for index in (0, 1)
    )
    return [
        Row("sidecar CPU when idle", "ms/s", cpu[0], cpu[1], goal="<= 0.4", reached=cpu[0].median <= 0.4),
        Row("sidecar context switches when idle", "1/s", switches[0], switches[1]),
    ]


def _spent(one: Container) -> tuple[float, int]:
    return one.cpu_seconds() * 1e3, readings.context_switches(one.pid)


# --- starting ---------------------------------------------------------------------------------------------------------


def _starts(stage: Stage, launchers: Launchers) -> list[float]:
    """Return the milliseconds of CPU from exec until each launcher is idle."""
    found = []
    for one in launchers.running[: stage.rounds(10)]:
        one.kill()
        one.start()
        found.append(_cpu_until_idle(one))
    return found


def _cpu_until_idle(one: Container) -> float:
    """Return the CPU until the program has used less than 1 ms per 100 ms five times in a row."""
    spent, quiet = 0.0, 0
    while quiet < 5:
        time.sleep(0.1)
        now = one.cpu_seconds()
        quiet = quiet + 1 if now - spent < 0.001 else 0
        spent = now
    return spent * 1e3


def _start_row(starts: dict[str, list[float]]) -> Row:
    ours, peer = (Figure.of(starts[name]) for name in (OURS, PEER))
    return Row(
        "sidecar start: CPU from exec until it rests", "ms", ours, peer, goal="<= 150", reached=ours.median <= 150
    )
