"""A Debian host that systemd has started, in namespaces and a cgroup of its own.

Its network has nothing but itself. Its file system is that of the cache, and what it changes is in memory. A test
reaches its sockets through `/proc/PID/root`.
"""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import libvirt

from hack.builds import host
from hack.builds.commands import ROOT
from testbed import procfs
from testbed.addresses import UnixAddress
from testbed.domains import UnixGraphics, domain_xml
from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.cluster.cgroups import Tree
from tests.cluster.namespaces import is_process_1

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--")
# With the network of a host, pip would ask an index; the root has the wheels.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": host.WHEELS,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
# systemd takes 2 s; libvirtd asks QEMU for its capabilities once, which takes another.
START_TIMEOUT = 120.0
# pip unpacks 60 MB, in 8 s; a machine with 20 tasks for each core takes some minutes for all of it.
COMMAND_TIMEOUT = 240.0
#: The folder of the sources in there.
SOURCE = "/root/source"


class Machine:
    """Runs while it is entered."""

    def __init__(self, suite: str, folder: Path) -> None:
        """`folder` is empty and gets the log."""
        self._tree = Tree.create(f"vss-host-{uuid.uuid4().hex[:8]}")
        inside, outside = self._tree.create_child("machine"), self._tree.create_child("outside", controllers=False)
        top = folder / "top"
        top.mkdir()
        boot: list[str | Path] = ["unshare", "--cgroup", "--", "sh", ROOT / "tests/host/boot.sh", host.root(suite), top]
        self._inside = inside
        self._process = ManagedProcess(
            outside.entering([*_UNSHARE, *inside.entering(boot)]), log=folder / "systemd.log"
        )

    def __enter__(self) -> Self:
        """Return when systemd has started everything."""
        try:
            self._process.start()
            wait_until(self._find, what="process 1 runs", timeout=START_TIMEOUT)
            self.wait_output("running\n", "systemctl is-system-running")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._tree.remove()
        self._process.kill()

    def _find(self) -> int | None:
        return next(filter(is_process_1, self._inside.processes()), None)

    @property
    def pid(self) -> int:
        pid = self._find()
        assert pid, f"systemd does not run; its log ends:\n{self._process.log_tail()}"
        return pid

    def command_lines(self) -> list[bytes]:
        """Return the command line of each of its processes."""
        return [b" ".join(procfs.command_line(pid)) for pid in self._inside.processes()]

    def path(self, path: str) -> Path:
        """Return where a path of it is found from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def command(self, shell: str) -> list[str]:
        """Return the command that runs in its shell, as root in the folder of the sources."""
        enter = ["nsenter", f"--target={self.pid}", "--all", "--", "env", "-i"]
        settings = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return [*enter, *settings, "bash", "-c", f"mkdir -p {SOURCE} && cd {SOURCE} && {shell}"]

    def output(self, shell: str, *, stdin: bytes | None = None) -> str:
        """Return what a command prints on both outputs, whatever its exit status is."""
        done = subprocess.run(
            self.command(shell),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=COMMAND_TIMEOUT,
        )
        return done.stdout.decode()

    def wait_output(self, expected: str, shell: str) -> None:
        """Wait until a command prints that."""
        wait_until(
            lambda: self.output(shell),
            lambda seen: expected in seen,
            what=f"{shell} prints {expected}",
            timeout=START_TIMEOUT,
            interval=0.1,
        )

    # --- its VMs ---

    @contextmanager
    def vm(self, name: str) -> Iterator["Vm"]:
        """A VM, started and paused, with its VNC server on a unix socket; removed at the end."""
        with self._libvirt() as connection:
            # Not in libvirt's own directory, in which it takes a path for one that it has generated, and drops it.
            self.output("install --directory --mode=777 /run/vnc")
            socket = f"/run/vnc/{name}.sock"
            domain = connection.defineXML(domain_xml(name, str(uuid.uuid4()), UnixGraphics(Path(socket))))
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
            try:
                yield Vm(domain, UnixAddress(self.path(socket)))
            finally:
                if domain.isActive():
                    domain.destroy()
                domain.undefine()

    @contextmanager
    def _libvirt(self) -> Iterator[Any]:
        connection = libvirt.open(f"qemu+unix:///system?socket={self.path('/run/libvirt/libvirt-sock')}")
        try:
            yield connection
        finally:
            connection.close()


class Vm:
    """One VM of the host."""

    def __init__(self, domain: Any, address: UnixAddress) -> None:
        self.domain = domain
        self.address = address
