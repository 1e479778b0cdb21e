"""The real agent in a launcher pod: an unprivileged user, the pod's socket, the VM's libvirt."""

from collections.abc import Mapping
from pathlib import Path

from testbed.processes import ManagedProcess, script
from testbed.vm import VirtualMachine
from tests.apiserver.nodes import POD
from tests.apiserver.vmis import Vmi


class Agent(ManagedProcess):
    """Runs with the identity of the VMI whose socket it is given."""

    def __init__(
        self,
        vm: VirtualMachine,
        vmi: Vmi,
        log: Path,
        *,
        socket: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`socket` is a pod's socket other than the VMI's first. `env` is added to this process's environment."""
        flags: dict[str, str | Path] = {
            "--libvirt-uri": vm.libvirtd.uri,
            "--domain": vm.name,
            "--handler-socket": socket or vmi.socket,
            "--admin-socket": "",
            "--namespace": vmi.namespace,
            "--name": vmi.name,
        }
        argv: list[str | Path] = [script("launcher-agent"), *(f"{flag}={value}" for flag, value in flags.items())]
        super().__init__(argv, log=log, env=env, user=POD)
