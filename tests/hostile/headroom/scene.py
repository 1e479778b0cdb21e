"""A VM of a real libvirt, and its agent in a cgroup and with the limits that it has in a launcher pod."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import libvirt

from testbed.clients import ConsoleClient
from testbed.grpcurl import GrpcurlError
from testbed.libvirtd import PrivateLibvirt
from testbed.staged import Staged
from testbed.storm import Storm
from testbed.usbredir import UsbClient
from testbed.vm import VirtualMachines
from testbed.waiting import wait_until
from tests.cluster.cgroups import Charged
from tests.hostile.behaviours import BEHAVIOURS, Requests, serving
from tests.hostile.limits import MIB, Limits, limited
from tests.libvirt.pair import CONSOLE, USB, VNC, Pair

#: `resources.limits` of the agent.
LIMITS: Final = Limits.of("agent-template.yaml", "launcher-agent")
#: Bytes that it may need, with the kernel's part; file pages come on top and can be reclaimed.
MOST: Final = LIMITS.memory * 7 // 10
#: The supervisor's limits in a launcher pod: the data of the agent, and the stack of each of its threads.
_SUPERVISED: Final = ("prlimit", f"--data={LIMITS.memory - 4 * MIB}", f"--stack={MIB // 2}", "--")
#: As often as a handler can ask for.
_POLLING: Final = ("--poll=usb-redirection=1s", "--poll=serial-console=1s")
#: Seconds in which an agent that has a tenth of a core dials again after hostile handlers; its backoff ends at 30 s.
_RETURN: Final = 120.0
#: Viewers of a storm, a second. They cause 1,600 events, about what an agent with a tenth of a core takes; libvirtd
#: keeps the rest. With 6,400 viewers a second for half a minute the agent needed no more memory, and was right only
#: after more than five minutes.
_RATE: Final = 600.0
#: Seconds for which libvirtd may work off a storm, and answer nothing.
_BACKLOG: Final = 300.0


class Scene(Staged):
    """`with Scene() as scene:` the agent has reported to the real handler, which has ended."""

    def _start(self) -> None:
        enter = self._stack.enter_context
        libvirtd = enter(PrivateLibvirt())
        self._machine = enter(VirtualMachines(libvirtd)).with_ports().start(paused=False)
        # The kernel ends an agent that needs more for a moment, which no sample would show.
        self._cgroup = enter(limited("headroom", Limits(MOST, LIMITS.cpu)))
        self._pair = enter(Pair(self._machine, handler=_POLLING, within=self._within))
        self._pair.handler.start()
        self.agent = self._pair.agent.start()
        enter(ConsoleClient.connect(self._machine.console))
        enter(UsbClient.redirect(self._machine.slot(0)))
        self.wait_shown(0)
        self._machine.pause()  # It keeps its clients, and takes no CPU.
        self._pair.handler.kill()
        self.start = self.charged()

    def charged(self) -> Charged:
        """Return the memory that the agent's cgroup is charged with."""
        return self._cgroup.charged()

    def counters(self) -> dict[str, int]:
        """Return what the agent has counted since its start."""
        what = "the agent's debug API answers"
        status = wait_until(self._pair.agent_status, what=what, timeout=_RETURN, retry_on=(GrpcurlError,))
        return {name: int(count) for name, count in status["counters"].items()}

    def storm(self, seconds: float, left: int, seed: int) -> Storm:
        """Return viewers that come, take over, give up and leave; `left` stay at the end."""
        log = self._pair.directory / "storm.log"
        return Storm(self._machine.address, seconds=seconds, left=left, seed=seed, log=log, takeovers=True, rate=_RATE)

    def hostile(self, name: str, seconds: float) -> None:
        """Have a hostile handler serve the agent for this long."""
        met = threading.Event()

        def behave(requests: Requests) -> Iterator[bytes]:
            met.set()
            return BEHAVIOURS[name](requests)

        with serving(self._pair.handler_socket, behave):
            self._wait(met.is_set, f"the agent dials {name}")
            time.sleep(seconds)

    def honest(self, seconds: float) -> None:
        """Have the real handler serve the agent for this long."""
        self._pair.handler.start()
        self._wait(lambda: self._state("REPORTING"), "the agent reports to the real handler")
        time.sleep(seconds)

    def end_honest(self) -> None:
        """End the real handler without a drain."""
        self._pair.handler.kill()

    def wait_shown(self, viewers: int) -> None:
        """Wait until the real handler shows what is true of each service."""
        self._wait(lambda: self._machine.vnc_clients() == viewers, f"libvirtd knows of {viewers} viewers", _BACKLOG)
        true = {VNC: viewers or None, CONSOLE: 1, USB: 1}
        self._wait(lambda: self._state("REPORTING") and self._shown() == true, f"{true} is shown", _BACKLOG)

    def log_size(self) -> int:
        """Return the bytes that the agent has logged."""
        return len(self.agent.log_text())

    def _shown(self) -> dict[str, int | None] | None:
        """None if the number of viewers is not the present one."""
        if not self._pair.summary().get("observed"):
            return None
        return {field: self._pair.shows(field) for field in (VNC, CONSOLE, USB)}

    def _state(self, name: str) -> bool:
        return bool(self._pair.endpoint()["state"] == f"ENDPOINT_STATE_{name}")

    def _wait(self, condition: Callable[[], Any], what: str, timeout: float = _RETURN) -> None:
        def holds() -> Any:
            assert self.agent.running, f"the agent has ended with {self.agent.returncode}"
            return condition()

        wait_until(holds, what=what, timeout=timeout, interval=0.05, retry_on=(GrpcurlError, libvirt.libvirtError))

    def _within(self, command: Sequence[str | Path]) -> Sequence[str | Path]:
        return self._cgroup.entering([*_SUPERVISED, *command])
