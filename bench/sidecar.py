"""Measures the cost of the sidecar, which every VM has: memory, CPU when idle, and CPU of a start.

The sidecar runs in its image and in a separate cgroup, subscribed to a real libvirt, and reports to a handler.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import bare_stream, readings
from bench.containers import Container
from bench.nodes import wait_served
from bench.results import Figure, Row
from bench.revisions import CPUS_LIBRARY
from bench.sides import OURS, PEER, Side
from bench.stage import Crowd, Stage
from testbed.libvirtd import PrivateLibvirt
from testbed.processes import ManagedProcess
from testbed.rfb import Viewer
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until

MANY: Final = 20
#: Where the floor, or many CPUs, are measured.
FEW: Final = 5
FLOOR: Final = "floor"
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
    """Run all sides' launchers on the same VMs at the same time; starts are measured one side after the other."""
    with _vms(stage) as vms, ExitStack() as stack:
        every = [stack.enter_context(_launchers(stage, side, vms)) for side in stage.sides]
        bare = stack.enter_context(bare_streams(stage))
        starts = {one.side.name: Figure.of(_starts(stage, one)) for one in every}
        for one in every:
            _wait_reporting(one)
        time.sleep(stage.seconds(5))
        idle = _idle({**{one.side.name: one.running for one in every}, FLOOR: bare}, stage.seconds(IDLE))
        return [
            *_memory_rows(every),
            _in_a_pod(stage, every),
            *_idle_rows(idle),
            *many_cpus(stage, vms),
            _start_row(starts),
        ]


@contextmanager
def _vms(stage: Stage) -> Iterator[list[VirtualMachine]]:
    with PrivateLibvirt() as libvirtd, VirtualMachines(libvirtd) as machines:
        yield [machines.new().start() for _ in range(3 if stage.quick else MANY)]


@contextmanager
def _launchers(
    stage: Stage, side: Side, vms: Sequence[VirtualMachine], env: Mapping[str, str] | None = None
) -> Iterator[Launchers]:
    crowd = stage.crowd(len(vms))
    with ExitStack() as stack:
        side.forget_pages()
        handler = stack.enter_context(side.handler(crowd.node))
        wait_served(handler, crowd, side)
        made = [side.launcher(vm, vmi, env) for vm, vmi in zip(vms, crowd.vmis, strict=True)]
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


def _memory_rows(every: Sequence[Launchers]) -> list[Row]:
    charged = {one.side.name: [running.charged() for running in one.running] for one in every}
    rows = []
    for part in ("anon", "file", "kernel"):
        # The first reader of a file is charged with it, so for files the maximum counts.
        of = max if part == "file" else statistics.median
        figures = {name: Figure.of([of(getattr(one, part) / MIB for one in side)]) for name, side in charged.items()}
        name = f"sidecar memory, its cgroup: {part}{' (the first of a node)' if part == 'file' else ''}"
        rows.append(Row.of(name, "MiB", figures))
    share = {
        one.side.name: Figure.of([readings.proportional(running.pid) / MIB for running in one.running]) for one in every
    }
    return [*rows, Row.of(f"sidecar memory, proportional, {len(every[0].running)} side by side", "MiB", share)]


def _in_a_pod(stage: Stage, every: Sequence[Launchers]) -> Row:
    """Measure a launcher of ours without any flag, as a launcher pod starts it; flags take nothing of the peer's."""
    found = {}
    for launchers in every:
        side = launchers.side
        if not side.ours:
            found[side.name] = Figure.of([one.charged().anon / MIB for one in launchers.running])
            continue
        crowd = stage.crowd(1)
        with ExitStack() as stack:
            machines = stack.enter_context(VirtualMachines(stack.enter_context(PrivateLibvirt())))
            vm = machines.new().start()
            wait_served(stack.enter_context(side.handler(crowd.node)), crowd, side)
            launcher = stack.enter_context(side.launcher_of_a_pod(vm, crowd.vmis[0]))
            _wait_reporting(Launchers(side, crowd, [vm], [launcher]))
            found[side.name] = Figure.of([launcher.charged().anon / MIB])
    return Row.of("sidecar memory, its cgroup: anon, without a flag", "MiB", found, "<= 17", 17)


# --- doing nothing ----------------------------------------------------------------------------------------------------


@contextmanager
def bare_streams(stage: Stage, env: Mapping[str, str] | None = None) -> Iterator[list[Container]]:
    """Yield streams that do nothing but send a message each 5 s: the floor of an agent that rests."""
    (root,) = (side.roots.agent[side.name] for side in stage.sides if side.name == OURS)
    socket = stage.folder / f"bare-{time.monotonic_ns()}.sock"
    program = Path(bare_stream.__file__)
    with ExitStack() as stack:
        log = stage.folder / "bare.log"
        stack.enter_context(ManagedProcess([sys.executable, program, "serve", socket], log=log))
        wait_until(socket.exists, what="the server of the bare streams is there")
        dial: list[str | Path] = ["/usr/bin/python3.13", "-I", f"/usr/bin/{program.name}", "dial", socket]
        yield [stack.enter_context(Container(root, dial, log, env=env)) for _ in range(3 if stage.quick else FEW)]


def many_cpus(stage: Stage, vms: Sequence[VirtualMachine]) -> list[Row]:
    """Measure launchers that see 16 CPUs, as on a server: gRPC has a thread for each, up to 16."""
    env = {"LD_PRELOAD": f"/usr/bin/{CPUS_LIBRARY}"}
    few = vms[: 3 if stage.quick else FEW]
    with ExitStack() as stack:
        every = [stack.enter_context(_launchers(stage, side, few, env)) for side in stage.sides if side.ours]
        bare = stack.enter_context(bare_streams(stage, env))
        for one in every:
            _wait_reporting(one)
        time.sleep(stage.seconds(5))
        running = {**{one.side.name: one.running for one in every}, FLOOR: bare}
        cpu, _ = _idle(running, stage.seconds(IDLE))
    return [Row.of("sidecar CPU when idle, where it sees 16 CPUs", "ms/s", cpu)]


def _idle(running: Mapping[str, Sequence[Container]], seconds: float) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """Measure all at the same time: no viewer is connected, and each sends its heartbeats."""
    before = {name: [_spent(one) for one in side] for name, side in running.items()}
    begin = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    after = {name: [_spent(one) for one in side] for name, side in running.items()}
    cpu, switches = (
        {
            name: Figure.of([(b[index] - a[index]) / took for a, b in zip(first, after[name], strict=True)])
            for name, first in before.items()
        }
        for index in (0, 1)
    )
    return cpu, switches


def _idle_rows(idle: tuple[dict[str, Figure], dict[str, Figure]]) -> list[Row]:
    cpu, switches = idle
    floor = cpu[FLOOR].median
    return [
        Row.of("sidecar CPU when idle", "ms/s", cpu, "<= 1.05 x floor", 1.05 * floor),
        Row.of("sidecar context switches when idle", "1/s", switches),
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


def _start_row(starts: Mapping[str, Figure]) -> Row:
    name = "sidecar start: CPU from exec until it rests"
    return Row.of(name, "ms", starts, "<= 4 x peer", 4 * starts[PEER].median)
