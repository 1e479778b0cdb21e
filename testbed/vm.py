"""A virtual machine of a private libvirt: a real QEMU that can be started, stopped, and killed in every way.

Each operation opens its own connection, so it works after a restart of the daemon. While the daemon is frozen, an
operation through libvirt waits; an operation by the QEMU's pid does not.
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree
from xml.etree.ElementTree import tostring

import libvirt
import libvirt_qemu

from testbed import procfs
from testbed.addresses import Address, TcpAddress, UnixAddress, WebsocketAddress
from testbed.domains import (
    NO_PORTS,
    Graphics,
    Ports,
    SpiceGraphics,
    UnixGraphics,
    domain_xml,
    redirection,
)
from testbed.libvirtd import PrivateLibvirt
from testbed.waiting import wait_until


class VirtualMachine:
    """Nothing exists before `start()`. KubeVirt's name for a domain is `<namespace>_<name of the VMI>`."""

    def __init__(
        self,
        libvirtd: PrivateLibvirt,
        name: str,
        graphics: Graphics,
        arguments: Sequence[str] = (),
        ports: Ports = NO_PORTS,
    ) -> None:
        """`arguments` are added to QEMU's command line."""
        self.libvirtd = libvirtd
        self.name = name
        self.graphics = graphics
        self.arguments = arguments
        self.ports = ports
        # The same at each start, or libvirt takes it for another domain of that name.
        self.uuid = str(uuid.uuid4())

    def start(self, *, paused: bool = True) -> Self:
        """A paused VM costs no CPU, and its VNC server works all the same: a guest that runs is needed by few tests."""
        with self.libvirtd.connect() as connection:
            described = domain_xml(self.name, self.uuid, self.graphics, self.arguments, self.ports)
            domain = connection.defineXML(described)
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
        return self

    def destroy(self) -> None:
        """libvirt ends QEMU. The domain stays defined and can be started again."""
        with self._domain() as domain:
            domain.destroy()

    def remove(self) -> None:
        """Destroys if need be, and undefines. Nothing to do is fine."""
        with self.libvirtd.connect() as connection:
            for domain in connection.listAllDomains():
                if domain.name() == self.name:
                    # Fails when it is not running, or ends at this very moment.
                    with contextlib.suppress(libvirt.libvirtError):
                        domain.destroy()
                    domain.undefine()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """libvirtd holds the domain's lock: it waits for a reader of the pipe that it dumps the memory into."""
        pipe = self.libvirtd.directory_for("dump") / self.name
        os.mkfifo(pipe)
        os.chown(pipe, self.libvirtd.user.uid, self.libvirtd.user.gid)
        dump = threading.Thread(target=self._dump, args=(pipe,))
        dump.start()
        try:
            yield
        finally:
            with open(os.open(pipe, os.O_RDONLY), "rb") as reader:  # noqa: PTH123 - of a descriptor
                while reader.read(1 << 20):
                    pass
            dump.join()
            pipe.unlink()

    def _dump(self, pipe: Path) -> None:
        with self._domain() as domain, contextlib.suppress(libvirt.libvirtError):
            domain.coreDump(str(pipe), libvirt.VIR_DUMP_MEMORY_ONLY | libvirt.VIR_DUMP_LIVE)

    def save(self) -> None:
        """Write the VM's state to the disk and end QEMU. The next start restores it."""
        with self._domain() as domain:
            domain.managedSave()

    def rename(self, name: str) -> None:
        """Give another name to a domain that does not run."""
        with self._domain() as domain:
            domain.rename(name)
        self.name = name

    def open_graphics(self) -> socket.socket:
        """Return a client's end of a connection to the display that libvirt passes to QEMU, without its listener."""
        client, server = socket.socketpair()
        with server, self._domain() as domain:
            domain.openGraphics(0, server.fileno(), libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
        return client

    def pause(self) -> None:
        with self._domain() as domain:
            domain.suspend()

    def resume(self) -> None:
        with self._domain() as domain:
            domain.resume()

    def reset(self) -> None:
        """Press the reset button. A guest that reboots causes the same event of libvirt."""
        with self._domain() as domain:
            domain.reset()

    @property
    def qemu_pid(self) -> int:
        """From libvirt's own note, so it needs no answer of the daemon."""
        return int((self.libvirtd.directory / f"run/libvirt/qemu/run/{self.name}.pid").read_text())

    def signal_qemu(self, number: signal.Signals) -> None:
        """Behind libvirt's back; returns when QEMU is gone, if the signal is one that ends it."""
        pid = self.qemu_pid
        os.kill(pid, number)
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            wait_until(lambda: procfs.command_line(pid), lambda line: not line, what=f"QEMU {pid} ends")

    def kill_qemu(self) -> None:
        self.signal_qemu(signal.SIGKILL)

    @property
    def state(self) -> int:
        """One of libvirt.VIR_DOMAIN_RUNNING, _PAUSED, _SHUTOFF, ..."""
        with self._domain() as domain:
            return int(domain.state()[0])

    @property
    def xml(self) -> str:
        with self._domain() as domain:
            return str(domain.XMLDesc())

    @property
    def address(self) -> Address:
        """Return the address of its display's server; a TCP port is a new one at each start."""
        if isinstance(self.graphics, UnixGraphics | SpiceGraphics) and self.graphics.socket is not None:
            return UnixAddress(self.graphics.socket)
        return TcpAddress(self._port("port"))

    @property
    def websocket_address(self) -> WebsocketAddress:
        return WebsocketAddress(self._port("websocket"))

    def vnc_clients(self) -> int:
        """QEMU's own count (QMP `query-vnc-servers`), unfinished clients included. It marks the domain as tainted."""
        return sum(len(server["clients"]) for server in self.monitor("query-vnc-servers"))

    def monitor(self, command: str, **arguments: object) -> Any:
        """Have QEMU execute a command of QMP. It marks the domain as tainted."""
        with self._domain() as domain:
            answer = libvirt_qemu.qemuMonitorCommand(
                domain, json.dumps({"execute": command, "arguments": arguments}), 0
            )
        return json.loads(answer)["return"]

    # --- its ports ---

    def slot(self, number: int) -> UnixAddress:
        """Return the address of a USB redirection."""
        return UnixAddress(self.ports.usb[number])

    @property
    def console(self) -> UnixAddress:
        assert self.ports.console is not None, f"{self.name} has no console"
        return UnixAddress(self.ports.console)

    def plug_slot(self, path: Path) -> None:
        """Add a slot for a USB device to the running VM."""
        with self._domain() as domain:
            domain.attachDevice(tostring(redirection(path), encoding="unicode"))

    def unplug_slot(self, path: Path) -> None:
        """Remove a slot. libvirt may answer before QEMU has removed it."""
        with self._domain() as domain:
            domain.detachDevice(tostring(redirection(path), encoding="unicode"))

    @contextlib.contextmanager
    def _domain(self) -> Iterator[libvirt.virDomain]:
        with self.libvirtd.connect() as connection:
            yield connection.lookupByName(self.name)

    def _port(self, attribute: str) -> int:
        display = ElementTree.fromstring(self.xml).find("devices/graphics")  # noqa: S314 - libvirt's own
        assert display is not None, f"{self.name} has no display"
        return int(display.attrib[attribute])


class VirtualMachines:
    """Makes VMs of one libvirt, each with an unused name, and removes them at the end."""

    _numbers = itertools.count(1)

    def __init__(self, libvirtd: PrivateLibvirt) -> None:
        self._libvirtd = libvirtd
        self._made: list[VirtualMachine] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Where a test killed the daemon, the daemon's owner sees to its QEMUs.
        for machine in self._made if self._libvirtd.running else ():
            machine.remove()

    def new(self, *, name: str | None = None, uid: str | None = None) -> VirtualMachine:
        """As KubeVirt makes it, not yet started: VNC on a unix socket in a directory that carries the VMI's UID."""
        socket = self._libvirtd.graphics_socket(uid or str(uuid.uuid4()))
        return self.with_graphics(UnixGraphics(socket), name=name)

    def with_ports(self, *, usb: bool = True) -> VirtualMachine:
        """As KubeVirt makes it with a serial console and, if `usb`, with `clientPassthrough`."""
        socket = self._libvirtd.graphics_socket(str(uuid.uuid4()))
        return self.with_graphics(UnixGraphics(socket), ports=Ports.of_kubevirt(socket.parent, usb=usb))

    def with_spice(self, *, unix: bool, shared: bool = False) -> VirtualMachine:
        """With a SPICE server, on a unix socket or a loopback port; `shared` admits several viewers."""
        socket = self._libvirtd.graphics_socket(str(uuid.uuid4())).with_name("spice") if unix else None
        return self.with_graphics(SpiceGraphics(socket, shared))

    def with_graphics(
        self, graphics: Graphics, *, name: str | None = None, arguments: Sequence[str] = (), ports: Ports = NO_PORTS
    ) -> VirtualMachine:
        """With another display, or with None."""
        machine = VirtualMachine(self._libvirtd, name or f"vms_vm{next(self._numbers)}", graphics, arguments, ports)
        self._made.append(machine)
        return machine
