"""Measures the time from a viewer's first byte until the number can be read at the API server, with real parts.

The parts are QEMUs behind a private libvirt, a launcher for each, a handler, kube-apiserver and etcd on one machine. A
number can be read when a watch has delivered it. Three kinds of VMs take turns: ours, the peer's, and the floor. This
process writes the number of a floor VM with one patch from libvirt's callback.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

import libvirt

from bench.nodes import wait_served
from bench.results import Figure, Row
from bench.sides import PEER, Side
from bench.stage import Crowd, Stage
from testbed.event_log import run_event_loop
from testbed.libvirtd import PrivateLibvirt
from testbed.rfb import Viewer
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.apiserver.client import JSON_PATCH, Client, Event, Recorder
from tests.apiserver.vmis import Vmi, service_status
from tests.cluster.objects import Object

FLOOR: Final = "floor"
#: VMs of each kind: enough that each is idle before its next turn, because a lower number and a second write wait 1 s.
VMS: Final = 8
REST: Final = 2.5
CONNECTS: Final = 200


@dataclass
class Kind:
    """VMs whose numbers are published in one way."""

    name: str
    vms: list[VirtualMachine]
    crowd: Crowd
    recorder: Recorder


def measure(stage: Stage) -> list[Row]:
    """Measure 200 viewers of each kind."""
    times: dict[str, list[float]] = {}
    with _kinds(stage) as kinds:
        rested: dict[str, float] = {}
        for number in range(stage.rounds(CONNECTS)):
            for kind in kinds:
                turn = number % len(kind.vms)
                time.sleep(max(0.0, rested.get(f"{kind.name}-{turn}", 0.0) - time.monotonic()))
                times.setdefault(kind.name, []).append(_connect(kind, turn))
                rested[f"{kind.name}-{turn}"] = time.monotonic() + REST
    figures = {name: Figure.of(found) for name, found in times.items()}
    row = Row.of("first viewer connects -> readable at the API server", "ms", figures, "<= 2 x peer, p99 <= 150")
    reached = row.ours.median <= 2 * figures[PEER].median and row.ours.p99 <= 150
    return [replace(row, reached=reached, note="20 ms of ours are chosen: a moment's events are one")]


def _connect(kind: Kind, turn: int) -> float:
    """Return the milliseconds of one connection."""
    vmi = kind.crowd.vmis[turn]
    begin = time.monotonic()
    viewer = Viewer.establish(kind.vms[turn].address)
    event = wait_until(
        lambda: _seen(kind.recorder, vmi, begin), what=f"{kind.name}: {vmi.name} shows 1", interval=0.0005
    )
    viewer.close()
    assert event is not None
    return (event.at - begin) * 1000


def _seen(recorder: Recorder, vmi: Vmi, since: float) -> Event | None:
    for event in reversed(recorder.events):
        if event.at < since:
            return None
        if event.object["metadata"]["name"] == vmi.name and _number(event.object) == 1:
            return event
    return None


def _number(vmi: Object) -> int:
    return int((service_status(vmi) or {}).get("vncSessions", 0))


@contextmanager
def _kinds(stage: Stage) -> Iterator[list[Kind]]:
    run_event_loop()
    with ExitStack() as stack:
        libvirtd = stack.enter_context(PrivateLibvirt())
        machines = stack.enter_context(VirtualMachines(libvirtd))
        kinds = []
        for name in (*(side.name for side in stage.sides), FLOOR):
            crowd = stage.crowd(2 if stage.quick else VMS)
            vms = [machines.new().start() for _ in crowd.vmis]
            recorder = stack.enter_context(Recorder(stage.client, crowd.vmis[0].path.rpartition("/")[0]))
            kinds.append(Kind(name, vms, crowd, recorder))
        for side, kind in zip(stage.sides, kinds, strict=False):
            _start(stack, side, kind)
        stack.enter_context(_floor(stage.client, libvirtd, kinds[-1]))
        for kind in kinds:
            _warm(kind)
        yield kinds


def _start(stack: ExitStack, side: Side, kind: Kind) -> None:
    handler = stack.enter_context(side.handler(kind.crowd.node))
    wait_served(handler, kind.crowd, side)
    for vm, vmi in zip(kind.vms, kind.crowd.vmis, strict=True):
        stack.enter_context(side.launcher(vm, vmi))


def _warm(kind: Kind) -> None:
    """Wait until each VM's first viewer was seen: by then all programs have started."""
    for vm, vmi in zip(kind.vms, kind.crowd.vmis, strict=True):
        wait_until(lambda: _is_seen(vm, vmi), what=f"{kind.name}: a viewer of {vmi.name} is seen")  # noqa: B023
    for vmi in kind.crowd.vmis:
        vmi.wait_for(0)


def _is_seen(vm: VirtualMachine, vmi: Vmi) -> bool:
    """Return whether a viewer is seen. The viewer may have connected before the agent observed the VM."""
    with Viewer.establish(vm.address):
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            if vmi.service_status() is not None:
                return True
            time.sleep(0.01)
        return False


@contextmanager
def _floor(client: Client, libvirtd: PrivateLibvirt, kind: Kind) -> Iterator[None]:
    """Write each event from libvirt's callback in the same thread, without agent, handler and write policy."""
    patches = {vm.name: vmi for vm, vmi in zip(kind.vms, kind.crowd.vmis, strict=True)}
    connection = libvirt.openReadOnly(libvirtd.uri)

    def on_event(_: object, domain: "libvirt.virDomain", phase: int, *_rest: object) -> None:
        vmi = patches.get(domain.name())
        if vmi is not None and phase != libvirt.VIR_DOMAIN_EVENT_GRAPHICS_CONNECT:
            value = {"vncSessions": 1} if phase == libvirt.VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE else {}
            add = {"op": "add", "path": "/status/serviceStatus", "value": value}
            client.patch(vmi.path, [add] if value else [add, {"op": "remove", "path": add["path"]}], JSON_PATCH)

    number = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_GRAPHICS, on_event, None)
    yield
    connection.domainEventDeregisterAny(number)
    connection.close()
