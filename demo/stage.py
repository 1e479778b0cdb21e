"""Sets up the demo: a private libvirt with one VM, the handler and the agent, all in one temporary directory.

The directory is that of libvirt, so libvirt's guardian removes all of it even after a SIGKILL of the demo. The kernel
ends both programs when the demo ends.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demo.narrator import Narrator
from testbed import grpcurl
from testbed.libvirtd import PrivateLibvirt
from testbed.processes import ManagedProcess, script
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until

NAMESPACE, NAME = "default", "demo"
AGENT = ("agent.sock", "servicestatus.v1.AgentStatusService/GetAgentStatus")
HANDLER = ("admin.sock", "servicestatus.v1.ServiceStatusService/ListServiceStatuses")


class Stage:
    """Holds the parts and their paths."""

    def __init__(self, libvirtd: PrivateLibvirt, machine: VirtualMachine) -> None:
        """Create the directory for the documents; start no program."""
        self.directory = directory = libvirtd.directory
        self.machine = machine
        documents = directory / "vmis"
        documents.mkdir()
        self.document = documents / NAMESPACE / f"{NAME}.json"
        self.handler = ManagedProcess(
            [
                *(script("handler-service"), "--file-dir", documents),
                *("--endpoint", f"{NAMESPACE}/{NAME}={directory}/handler.sock"),
                *("--admin-socket", directory / HANDLER[0]),
            ],
            log=directory / "handler.log",
        )
        self.agent = ManagedProcess(
            [
                *(script("launcher-agent"), "--libvirt-uri", libvirtd.uri, "--domain", machine.name),
                *("--handler-socket", directory / "handler.sock"),
                *("--admin-socket", directory / AGENT[0]),
            ],
            log=directory / "agent.log",
        )

    def example_commands(self) -> list[str]:
        """Return commands for another terminal."""
        return [f"cd {self.directory}", self.show_document, self.command(AGENT), self.command(HANDLER)]

    @property
    def show_document(self) -> str:
        """The command that prints the document."""
        return f"cat {self.document.relative_to(self.directory)}"

    def command(self, debug_api: tuple[str, str]) -> str:
        """Return the command that calls one debug API, to be run in `directory`. grpcurl needs an absolute path."""
        socket, method = debug_api
        return f"./grpcurl -plaintext -unix $PWD/{socket} {method}"

    def ask(self, debug_api: tuple[str, str]) -> Any:
        """Run the command of `debug_api` and return the parsed response."""
        line = ["sh", "-c", self.command(debug_api)]
        done = subprocess.run(line, cwd=self.directory, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{line[-1]}: {done.stderr.strip()}"
        return json.loads(done.stdout)

    def check_programs(self) -> None:
        """Assert that both programs still run."""
        for program in (self.agent, self.handler):
            assert program.running, f"{program} has ended with status {program.returncode}"

    def last_words(self) -> str:
        """Return the last lines of both logs."""
        return "\n".join(f"{program} said last:\n{program.log_tail(5)}" for program in (self.agent, self.handler))

    def stop_programs(self) -> None:
        """Stop both programs with SIGTERM, as an upgrade does. Both must send Goodbye and end with status 0."""
        for program in (self.agent, self.handler):
            assert program.stop() == 0, f"{program} ended with status {program.returncode}"


@contextlib.contextmanager
def open_stage(narrator: Narrator) -> Iterator[Stage]:
    """Set up all parts, and take them down at exit."""
    with contextlib.ExitStack() as stack:
        with narrator.waiting("grpcurl is made ready"):
            tool = grpcurl.binary()
        narrator.say("set-up: a private libvirt, as a user without privileges")
        with narrator.waiting("libvirt gets to know this machine's QEMU"):
            libvirtd = stack.enter_context(PrivateLibvirt())
        machine = stack.enter_context(VirtualMachines(libvirtd)).new(name=f"{NAMESPACE}_{NAME}")
        stage = Stage(libvirtd, machine)
        (stage.directory / "grpcurl").symlink_to(tool)
        narrator.say(f"set-up: {libvirtd.name} in {libvirtd.directory}; now QEMU, its screen on a unix socket")
        with narrator.waiting("QEMU starts"):
            machine.start()
        _start_programs(stage, stack, narrator)
        yield stage


def _start_programs(stage: Stage, stack: contextlib.ExitStack, narrator: Narrator) -> None:
    with narrator.waiting("the programs start"):
        stack.enter_context(stage.handler)
        stack.enter_context(stage.agent)
        narrator.say(f"set-up: handler-service (pid {stage.handler.pid}) and launcher-agent (pid {stage.agent.pid})")
        wait_until(lambda: _document_is_there(stage), what=f"the handler writes {stage.document}")


def _document_is_there(stage: Stage) -> bool:
    """Return whether the document exists: then the agent has seen the VM, and the handler has its report."""
    stage.check_programs()
    return Path(stage.document).exists()
