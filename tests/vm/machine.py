"""The VM: QEMU without hardware virtualization, which a developer's machine or CI may not have."""

import subprocess
import sys
from pathlib import Path

from tests.vm.root import Root

CPUS = 2
MEMORY = "4G"
# Seconds, for a machine whose CPUs are busy with other work.
TIMEOUT = 5400
# mitigations=off: no secret is in there, and they cost an emulated CPU more than a real one. no_timer_check: the kernel
# tests its timer against a clock that goes on while QEMU has to wait for a CPU.
KERNEL = "console=ttyS0 root=/dev/vda rw quiet panic=-1 mitigations=off no_timer_check"


def run_vm(root: Root, disk: Path, status: Path) -> int:
    """Return the status that the VM's process 1 reports; 1 if there is none. The console is standard output."""
    try:
        subprocess.run(_command(root, disk, status), stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        sys.stdout.write(f"the VM was ended after {TIMEOUT} s\n")
    reported = status.read_text().strip() if status.exists() else ""
    return int(reported) if reported.isdigit() else 1


def _command(root: Root, disk: Path, status: Path) -> list[str | Path]:
    """Return QEMU's command line. It ends with this process, and writes nothing to the root's file."""
    return [
        *("setpriv", "--pdeathsig", "KILL", "--", "nice", "-n", "10"),
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"),
        *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(CPUS), "-m", MEMORY),
        *("-device", "virtio-rng-pci", "-kernel", root.kernel, "-initrd", root.initrd, "-append", KERNEL),
        *("-drive", f"file={root.disk},format=raw,if=virtio,snapshot=on"),
        *("-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"),
        *("-serial", "stdio", "-serial", f"file:{status}"),
    ]
