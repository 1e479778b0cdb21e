"""Injects the planned faults into the programs of a stand at the planned times, and records when they happened."""

import contextlib
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import libvirt

from testbed.processes import ManagedProcess
from testbed.vm import VirtualMachine
from testbed.waiting import WaitTimeoutError, wait_until
from tests.faults.record import Fault, Kind, Target
from tests.faults.schedule import Planned
from tests.faults.stand import Machine, Stand
from tests.faults.visitors import Visitors

#: Seconds that a program has for an orderly exit: the handler takes at most 6, by its own rules.
GRACE = 8.0


class Injector:
    """One stand's."""

    def __init__(self, stand: Stand, visitors: Mapping[str, Visitors]) -> None:
        """`visitors` by the name of their machine."""
        self._stand = stand
        self._visitors = visitors
        self._machines = {machine.name: machine for machine in stand.machines}
        # A fault that takes longer than planned, like a start on a busy machine, delays the next one of its target.
        self._locks: defaultdict[tuple[Target, str], threading.Lock] = defaultdict(threading.Lock)
        self._errors: list[BaseException] = []
        self.faults: list[Fault] = []

    def run(self, planned: list[Planned]) -> None:
        """Return when all faults are over; raise the error of one that failed."""
        began = time.monotonic()
        threads = [threading.Thread(target=self._guarded, args=(one, began), name=str(one)) for one in planned]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise BaseExceptionGroup("faults that could not be made, or ended", self._errors)

    def _guarded(self, planned: Planned, began: float) -> None:
        try:
            time.sleep(max(0.0, began + planned.at - time.monotonic()))
            self._inject(planned)
        except BaseException as error:  # noqa: BLE001 - raised again where all are waited for
            self._errors.append(error)

    def _inject(self, planned: Planned) -> None:
        with self._lock_of(planned):
            begin = time.monotonic()
            with self._away(planned):
                time.sleep(planned.away)
            fault = Fault(planned.target, planned.kind, begin, time.monotonic(), planned.machine)
        self.faults.append(fault)

    def _lock_of(self, planned: Planned) -> threading.Lock:
        """libvirtd starts QEMU, so the two share a lock and are not hit at once."""
        if planned.target in (Target.QEMU, Target.LIBVIRTD):
            return self._locks[Target.LIBVIRTD, ""]
        return self._locks[planned.target, planned.machine]

    def _away(self, planned: Planned) -> contextlib.AbstractContextManager[None]:
        """The target is down from enter to exit, and serves again after that."""
        stand = self._stand
        match planned.target:
            case Target.QEMU:
                return self._qemu_away(planned.kind, self._machines[planned.machine])
            case Target.AGENT:
                return _away(planned.kind, self._machines[planned.machine].agent)
            case Target.HANDLER:
                return _away(planned.kind, stand.handler, stand.handler.start_synced)
            case Target.LIBVIRTD:
                return _away(planned.kind, stand.libvirtd.process, stand.libvirtd.start)
            case Target.APISERVER:
                return self._storage_away(planned.kind, stand.plane.apiserver)
            case Target.ETCD:
                return self._storage_away(planned.kind, stand.plane.etcd)

    @contextlib.contextmanager
    def _storage_away(self, kind: Kind, process: ManagedProcess) -> Iterator[None]:
        """As long as it accepts no write it counts as down: its own recovery is no promise of this project."""
        with _away(kind, process):
            yield
        self._stand.wait_served()

    @contextlib.contextmanager
    def _qemu_away(self, kind: Kind, machine: Machine) -> Iterator[None]:
        vm, visitors = machine.vm, self._visitors[machine.name]
        if kind is Kind.FREEZE:
            vm.signal_qemu(signal.SIGSTOP)
            yield
            vm.signal_qemu(signal.SIGCONT)
            return
        visitors.thrown_out(vm.kill_qemu if kind is Kind.KILL else vm.destroy)
        yield
        _start(vm)


@contextlib.contextmanager
def _away(kind: Kind, process: ManagedProcess, start: Callable[[], object] | None = None) -> Iterator[None]:
    match kind:
        case Kind.FREEZE:
            process.freeze()
            yield
            process.thaw()
            return
        case Kind.KILL:
            process.kill()
        case Kind.RESTART:
            _terminate(process)
    yield
    (start or process.start)()


def _terminate(process: ManagedProcess) -> None:
    """Send SIGTERM, and SIGKILL after a timeout, like a kubelet: kube-apiserver waits for an etcd that is down."""
    process.signal(signal.SIGTERM)
    with contextlib.suppress(WaitTimeoutError):
        wait_until(lambda: not process.running, what=f"{process} ends", timeout=GRACE)
    process.kill()


def _start(vm: VirtualMachine) -> None:
    """Start it as soon as libvirt has noticed that it ended."""
    wait_until(vm.start, what=f"{vm.name} starts", interval=0.05, retry_on=(libvirt.libvirtError,))
