"""How long it takes from a viewer's first byte to the number at the API server: the whole way, all of it real.

QEMUs behind a private libvirt, an agent for each, one handler with the rights of its manifests, kube-apiserver and etcd
on the same machine. A number is visible when a watch has delivered it. Run it in the root of the tree, with the tree's
own Python: `.venv/bin/python -m bench.connect_to_published`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.apiserver.agents import Agent
from tests.apiserver.client import Client, Event, Recorder
from tests.apiserver.identities import BASE, install
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.vmis import Vmi, service_status, told
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object
from tests.cluster.vmi import WITH_SERVICE_STATUS
from tests.support.libvirtd import PrivateLibvirt
from tests.support.rfb import Viewer
from tests.support.vm import VirtualMachine, VirtualMachines
from tests.support.waiting import wait_until

# Enough that each has rested (a fall waits a second, and a VMI is written once a second) when its turn comes again.
VMS = 20
REST = 2.5


@dataclass
class Bench:
    """Everything that runs."""

    vms: list[VirtualMachine]
    vmis: list[Vmi]
    status: Recorder
    companions: Recorder
    handler: Handler

    def measure(self, connects: int) -> dict[str, list[float]]:
        """Milliseconds by what was waited for."""
        times: dict[str, list[float]] = {
            "VMI, first viewer": [],
            "companion, first viewer": [],
            "VMI, last one gone": [],
        }
        rested = dict.fromkeys(range(VMS), 0.0)
        for number in range(connects):
            turn = number % VMS
            time.sleep(max(0.0, rested[turn] - time.monotonic()))
            vmi, address = self.vmis[turn], self.vms[turn].address
            began = time.monotonic()
            viewer = Viewer.establish(address)
            times["VMI, first viewer"].append(self._seen(self.status, vmi, began, _number, 1))
            times["companion, first viewer"].append(self._seen(self.companions, vmi, began, _told_number, 1))
            ended = time.monotonic()
            viewer.close()
            if number < connects // 10:  # each takes a second by design
                times["VMI, last one gone"].append(self._seen(self.status, vmi, ended, _number, 0))
            rested[turn] = time.monotonic() + REST
        return times

    @staticmethod
    def _seen(recorder: Recorder, vmi: Vmi, since: float, read: Callable[[Object], int], wanted: int) -> float:
        def look() -> Event | None:
            for event in reversed(recorder.events):
                if event.at < since:
                    return None
                if event.object["metadata"]["name"] == vmi.name and read(event.object) == wanted:
                    return event
            return None

        event = wait_until(look, what=f"{vmi.name} shows {wanted}", interval=0.0005)
        assert event is not None
        return (event.at - since) * 1000


def _number(vmi: Object) -> int:
    return int((service_status(vmi) or {}).get("vncSessions", 0))


def _told_number(companion: Object) -> int:
    return told(companion)[0] or 0


@contextmanager
def everything() -> Iterator[Bench]:
    """Starts it, and ends it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        plane = stack.enter_context(ControlPlane(folder / "plane", resources=[WITH_SERVICE_STATUS, BASE]))
        install(plane)
        client = stack.enter_context(closing(Client(plane.kubeconfig)))
        node = stack.enter_context(Node(plane, "bench"))
        machines = stack.enter_context(VirtualMachines(stack.enter_context(PrivateLibvirt())))
        namespace = plane.create_namespace("bench")
        handler = stack.enter_context(node.handler())
        vms = [machines.new().start() for _ in range(VMS)]
        vmis = [node.run(Vmi(client, namespace, f"vm-{number}")) for number in range(VMS)]
        for vm, vmi in zip(vms, vmis, strict=True):
            stack.enter_context(Agent(vm, vmi, folder / "agents.log"))
        for vmi in vmis:
            wait_until(vmi.told, lambda seen: seen is not None and seen[2] == "True", what=f"{vmi.name} is observed")
        recorders = [
            stack.enter_context(Recorder(client, path.rpartition("/")[0]))
            for path in (vmis[0].path, vmis[0].companion_path)
        ]
        yield Bench(vms, vmis, recorders[0], recorders[1], handler)


def row(name: str, values: Sequence[Any]) -> None:
    print(f"{name:26}" + "".join(f"{value:>9}" for value in values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--connects", type=int, default=200)
    connects = parser.parse_args().connects
    with everything() as bench:
        times = bench.measure(connects)
        memory = bench.handler.memory()
    row("milliseconds", ["n", "p50", "p90", "p99", "max"])
    for name, found in times.items():
        cuts = statistics.quantiles(found, n=100, method="inclusive")
        row(name, [len(found), *(f"{cuts[at - 1]:.0f}" for at in (50, 90, 99)), f"{max(found):.0f}"])
    print(f"\nhandler with {VMS} VMs: {memory.resident >> 20} MiB resident, {memory.anonymous >> 20} MiB of its own")


if __name__ == "__main__":
    main()
