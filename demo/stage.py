"""What the demo plays on: a private libvirt with one VM, the handler and the agent, all in one temporary directory.

The directory is the libvirt's own, so the one guardian that outlives even a SIGKILL of the demo removes all of it. Both
programs are bound to the demo's life by the kernel.
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
    """The parts, and where things lie."""

    def __init__(self, libvirtd: PrivateLibvirt, machine: VirtualMachine) -> None:
        """Starts nothing and makes a directory for the documents."""
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
        """Lines for another terminal."""
        return [f"cd {self.directory}", self.show_document, self.command(AGENT), self.command(HANDLER)]

    @property
    def show_document(self) -> str:
        """Likewise."""
        return f"cat {self.document.relative_to(self.directory)}"

    def command(self, debug_api: tuple[str, str]) -> str:
        """The line that asks one end, to be typed in `directory`. grpcurl wants a socket's whole path."""
        socket, method = debug_api
        return f"./grpcurl -plaintext -unix $PWD/{socket} {method}"

    def ask(self, debug_api: tuple[str, str]) -> Any:
        """The answer to exactly that line."""
        line = ["sh", "-c", self.command(debug_api)]
        done = subprocess.run(line, cwd=self.directory, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{line[-1]}: {done.stderr.strip()}"
        return json.loads(done.stdout)

    def check_programs(self) -> None:
        """Neither may have ended by itself."""
        for program in (self.agent, self.handler):
            assert program.running, f"{program} has ended with status {program.returncode}"

    def last_words(self) -> str:
        """The ends of both logs."""
        return "\n".join(f"{program} said last:\n{program.log_tail(5)}" for program in (self.agent, self.handler))

    def stop_programs(self) -> None:
        """As an upgrade does: SIGTERM, to which both answer with goodbye and status 0."""
        for program in (self.agent, self.handler):
            assert program.stop() == 0, f"{program} ended with status {program.returncode}"


@contextlib.contextmanager
def open_stage(narrator: Narrator) -> Iterator[Stage]:
    """Sets all up, and takes all down."""
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
    """The last of all to appear: the agent sees the VM, the handler heard of it and wrote."""
    stage.check_programs()
    return Path(stage.document).exists()
