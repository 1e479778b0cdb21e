"""Both programs on one VM, as processes that a test starts, kills and queries.

Tests read the VMI document, as a user does, and the debug APIs for the reason.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.grpcurl import Grpcurl, GrpcurlError
from testbed.processes import ManagedProcess, script
from testbed.sampler import Sampler
from testbed.vm import VirtualMachine
from testbed.waiting import TIMEOUT, wait_until

NAMESPACE, NAME = "default", "vm"

#: Fields of `status.serviceStatus`.
VNC, USB, CONSOLE, SPICE = "vncSessions", "usbRedirections", "consoleSessions", "spiceSessions"

#: The field; None where it is absent.
Sessions = int | None


class Pair:
    """The handler and the agent of one VM, in a directory of their own with a short path."""

    def __init__(
        self,
        machine: VirtualMachine,
        *,
        agent: Sequence[str] = (),
        handler: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        named: bool = True,
        within: Callable[[Sequence[str | Path]], Sequence[str | Path]] = lambda command: command,
    ) -> None:
        """Starts nothing.

        `agent` and `handler` are flags in addition to those that every test needs; `env` is for both. `named`: the
        agent gets the domain's name, as on a host with several domains. `within`: the command that limits another one,
        for the agent.
        """
        self.machine = machine
        self.directory = Path(tempfile.mkdtemp(prefix="vss-pair-"))
        self.documents = self.directory / "vmis"
        self.documents.mkdir()
        self.handler_socket = self.directory / "handler.sock"
        self.handler = ManagedProcess(
            [
                script("handler-service"),
                f"--file-dir={self.documents}",
                f"--endpoint={NAMESPACE}/{NAME}={self.handler_socket}",
                f"--admin-socket={self.directory / 'admin.sock'}",
                *handler,
            ],
            log=self.directory / "handler.log",
            env=env,
        )
        self.agent = ManagedProcess(
            within(
                [
                    script("launcher-agent"),
                    f"--libvirt-uri={machine.libvirtd.uri}",
                    *([f"--domain={machine.name}"] if named else []),
                    f"--handler-socket={self.handler_socket}",
                    f"--admin-socket={self.directory / 'agent.sock'}",
                    *agent,
                ]
            ),
            log=self.directory / "agent.log",
            env=env,
        )

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.agent.kill()
        self.handler.kill()
        for program in (self.agent, self.handler) if error is not None else ():
            if program.log.exists():
                sys.stderr.write(f"--- {program}\n{program.log_tail()}\n")
        shutil.rmtree(self.directory)

    def start(self) -> Self:
        """Start both; return when the handler has received that the agent observes the VM."""
        self.handler.start()
        self.agent.start()
        self.wait_observed()
        return self

    def another_handler(self, *flags: str) -> ManagedProcess:
        """Return a second handler with the same flags, some overridden by `flags`; the caller starts and ends it."""
        return ManagedProcess([*self.handler.argv, *flags], log=self.directory / "other-handler.log")

    def another_agent(self, *flags: str) -> ManagedProcess:
        """Return a second agent with the same flags."""
        return ManagedProcess([*self.agent.argv, *flags], log=self.directory / "other-agent.log")

    # --- the document ---

    @property
    def document(self) -> Path:
        return self.documents / NAMESPACE / f"{NAME}.json"

    @property
    def sessions(self) -> Sessions:
        """`status.serviceStatus.vncSessions`; None if it, or the document, is absent."""
        return self.shows(VNC)

    def shows(self, field: str) -> Sessions:
        """Return a number in `status.serviceStatus`; None if it, or the document, is absent."""
        try:
            document = json.loads(self.document.read_text())
        except FileNotFoundError:
            return None
        value: Sessions = document["status"].get("serviceStatus", {}).get(field)
        return value

    def wait_sessions(self, expected: Sessions, timeout: float = TIMEOUT) -> None:
        self.wait_shows(VNC, expected, timeout)

    def wait_shows(self, field: str, expected: Sessions, timeout: float = TIMEOUT) -> None:
        """Wait until the document has this number in this field."""
        what = f"{field} is {expected}"
        wait_until(lambda: self.shows(field), lambda seen: seen == expected, what=what, timeout=timeout)

    def sample(self, field: str = VNC) -> Sampler[Sessions]:
        """Sample the document every 10 ms."""
        return Sampler(lambda: self.shows(field))

    # --- debug APIs ---

    def agent_status(self) -> Any:
        debug_api = Grpcurl(self.directory / "agent.sock")
        return debug_api.call("servicestatus.v1.AgentStatusService/GetAgentStatus")["status"]

    def service(self, name: str) -> Any:
        """Return what the agent reports of a service, as `SERIAL_CONSOLE`; empty if it reports none."""
        found = [one for one in self.agent_status().get("services", []) if one["service"] == f"SERVICE_{name}"]
        return found[0] if found else {}

    def wait_service(self, name: str, accept: Callable[[Any], object], what: str, timeout: float = TIMEOUT) -> Any:
        """Wait until `accept` accepts what the agent reports of a service."""
        retry_on = (GrpcurlError,)
        return wait_until(
            lambda: self.service(name), accept, what=what, timeout=timeout, interval=0.05, retry_on=retry_on
        )

    def handler_status(self) -> Any:
        debug_api = Grpcurl(self.directory / "admin.sock")
        vmi = {"namespace": NAMESPACE, "name": NAME}
        return debug_api.call("servicestatus.v1.ServiceStatusService/GetServiceStatus", vmi)["status"]

    def summary(self) -> Any:
        """The handler's summary for VNC."""
        return self.handler_status()["services"][0]

    def endpoint(self) -> Any:
        return self.handler_status()["endpoints"][0]

    def wait_status(self, accept: Callable[[Any], object], what: str) -> Any:
        """Wait until `accept` accepts the handler's status of the VMI."""
        return wait_until(self.handler_status, accept, what=what, interval=0.05, retry_on=(GrpcurlError,))

    def wait_observed(self) -> None:
        def observed(status: Any) -> bool:
            reporting = status["endpoints"][0]["state"] == "ENDPOINT_STATE_REPORTING"
            return bool(reporting and status["services"][0].get("observed"))

        self.wait_status(observed, "the VM is observed")

    def wait_unknown(self) -> Any:
        """Wait until the value is marked as unknown, and return the summary."""
        return self.wait_status(lambda status: not status["services"][0].get("observed"), "it is unknown")

    def wait_pending(self, expected: int) -> None:
        """Wait until the agent reports this number of unfinished clients."""

        def pending() -> int:
            return sum(service.get("pending", 0) for service in self.agent_status().get("services", []))

        wait_until(pending, lambda seen: seen == expected, what=f"{expected} unfinished clients", interval=0.05)
