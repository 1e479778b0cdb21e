"""What QEMU and libvirt say about a VM's clients, asked on a connection of the test's own.

Each question of QMP marks the domain as tainted.
"""

from testbed.vm import VirtualMachine


def has_client(vm: VirtualMachine, device: str) -> bool:
    """Whether a client is connected to a port, by its device's alias, as `redir0` or `serial0`."""
    (found,) = (one for one in vm.monitor("query-chardev") if one["label"] == f"char{device}")
    return not found["filename"].startswith("disconnected:")


def is_attached(vm: VirtualMachine, device: str) -> bool:
    """Whether a USB device is on the guest's bus, by its slot's alias."""
    return bool(vm.monitor("qom-get", path=f"/machine/peripheral/{device}", property="attached"))


def spice_channels(vm: VirtualMachine) -> list[tuple[int, int]]:
    """Return session and kind of each initialized channel."""
    channels = vm.monitor("query-spice").get("channels", [])
    # QMP shows the session as a signed number.
    return [(one["connection-id"] % (1 << 32), one["channel-type"]) for one in channels]


def is_tainted(vm: VirtualMachine) -> bool:
    """Whether a program has sent a command of QMP through libvirt since the VM started, by libvirt's own log."""
    log = vm.libvirtd.directory / f"cache/libvirt/qemu/log/{vm.name}.log"
    _, _, last_start = log.read_text().rpartition("starting up libvirt")
    return "tainted: custom-monitor" in last_start
