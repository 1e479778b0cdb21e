"""Measures what polling costs each VM: CPU of the agent, of libvirt and of QEMU, for each interval.

The VMs have KubeVirt's console and four slots for USB devices. In one of each VM's slots a device is attached, which
takes a second question in each poll, and its console is open; with --idle neither is so. The VMs are paused, so that
their guests cost nothing. No cluster is needed. Run it in the root of the tree, with the tree's Python:
`.venv/bin/python -m bench.polling`.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.results import digits
from testbed import procfs
from testbed.clients import ConsoleClient
from testbed.libvirtd import PrivateLibvirt
from testbed.truth import is_attached
from testbed.usbredir import UsbClient
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.libvirt.pair import CONSOLE, USB, Pair

SERVICES: Final = ("usb-redirection", "serial-console")
#: By name: the seconds between two polls; None: not polled.
INTERVALS: Final = {"not polled": None, "every 60 s": 60, "every 5 s": 5, "every 1 s": 1}
PARTS: Final = ("agent", "libvirt", "QEMU", "handler")


@contextmanager
def pairs(vms: Sequence[VirtualMachine], interval: int | None, clients: int | None) -> Iterator[list[Pair]]:
    """Start a handler and an agent for each VM; yield when each number is that of the `clients`."""
    flags = [f"--poll={service}={interval}s" for service in SERVICES] if interval else []
    with ExitStack() as stack:
        made = [stack.enter_context(Pair(vm, handler=flags)) for vm in vms]
        for pair in made:
            pair.start()
        for pair in made if interval else ():
            pair.wait_shows(USB, clients, timeout=120)
            pair.wait_shows(CONSOLE, clients, timeout=120)
        yield made


def spent(libvirtd: PrivateLibvirt, made: Sequence[Pair]) -> dict[str, float]:
    """Return the CPU seconds of each part so far, of all VMs together."""
    pids: dict[str, Callable[[], list[int]]] = {
        "agent": lambda: [pair.agent.pid for pair in made],
        "libvirt": lambda: [libvirtd.process.pid],
        "QEMU": libvirtd.qemu_pids,
        "handler": lambda: [pair.handler.pid for pair in made],
    }
    return {part: sum(map(procfs.cpu_seconds, pids[part]())) for part in PARTS}


def measure(libvirtd: PrivateLibvirt, made: Sequence[Pair], seconds: float) -> tuple[dict[str, float], float]:
    """Return milliseconds of CPU for each second and VM, by part, and the polls for each second and VM."""
    before, polls, begin = spent(libvirtd, made), count(made), time.monotonic()
    time.sleep(seconds)
    after, more, took = spent(libvirtd, made), count(made), time.monotonic() - begin
    each = took * len(made)
    return {part: (after[part] - before[part]) * 1e3 / each for part in PARTS}, (more - polls) / each


def count(made: Sequence[Pair]) -> int:
    """Return how often QEMU was polled."""
    return sum(int(pair.agent_status()["counters"].get("polls", 0)) for pair in made)


def main() -> None:
    """Print a table of Markdown."""
    parser = argparse.ArgumentParser(prog="bench.polling", description=__doc__)
    parser.add_argument("--vms", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each measurement")
    parser.add_argument("--idle", action="store_true", help="without clients")
    options = parser.parse_args()
    with PrivateLibvirt() as libvirtd, VirtualMachines(libvirtd) as machines, ExitStack() as clients:
        vms = [machines.with_ports().start(paused=False) for _ in range(options.vms)]
        for vm in () if options.idle else vms:
            clients.enter_context(UsbClient.redirect(vm.slot(0)))
            clients.enter_context(ConsoleClient.connect(vm.console))
            wait_until(lambda vm=vm: is_attached(vm, "redir0"), what="the device is attached")  # type: ignore[misc]
        for vm in vms:
            vm.pause()
        print(f"| ms of CPU for each second and VM | polls/s | {' | '.join(PARTS)} | together |")
        print(f"|---|{'--:|' * (len(PARTS) + 2)}")
        for name, interval in INTERVALS.items():
            with pairs(vms, interval, None if options.idle else 1) as made:
                costs, polls = measure(libvirtd, made, options.seconds)
            cells = [polls, *costs.values(), sum(costs.values())]
            print(f"| {name} | {' | '.join(digits(cell) for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
