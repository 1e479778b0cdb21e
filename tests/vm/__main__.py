"""Runs tests/node_v2 in a VM with cgroup v2: `python -m tests.vm [PYTEST ARGUMENT...]`.

A machine may have booted with cgroup v1, which no supported node has. The VM has Debian's kernel. QEMU emulates its
CPUs, so it needs no hardware virtualization, and is ten or more times slower. The status is pytest's, or 1 if there is
none. It needs root.
"""

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from hack.builds import go, gotools
from hack.builds.cache import CACHE
from hack.builds.commands import BuildError
from tests.cluster import debian
from tests.cluster.mutex import held
from tests.cluster.store import prepared_store
from tests.cluster.tools import REPOSITORY, MissingToolError, require_system
from tests.node.archives import AGENT, archive_of
from tests.node.launcher.image import launcher_archive
from tests.vm.disk import write_disk
from tests.vm.machine import run_vm
from tests.vm.root import built_root

# Its disk: of this run alone, and removed by the next one if this one is killed.
FOLDER = CACHE / "vm-run"
# Another run of a VM may be under way, which has the time limit of machine.py.
LOCK_TIMEOUT = 2 * 3600.0
# Where the second disk is mounted.
MOUNT = Path("/mnt")
# An emulated CPU computes ten or more times slower; twice that, for a machine with other work.
FACTOR = 20
TESTS = "tests/node_v2"
# What a kubelet without an API server needs.
TOOLS = ("containerd", "containerd-shim-runc-v2", "ctr", "kubelet")


def main(arguments: Sequence[str]) -> int:
    # `timeout` and CI end a process by SIGTERM, which would leave the disk.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if os.geteuid() != 0:
        sys.exit("tests.vm: the VM's disks can only be made by root")
    try:
        require_system("mke2fs", "mmdebstrap", "qemu-system-x86_64", "setpriv", "unshare")
        with held("vm", timeout=LOCK_TIMEOUT):
            return _run(arguments)
    except (BuildError, MissingToolError) as error:
        sys.exit(f"tests.vm: {error}")


def _run(arguments: Sequence[str]) -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        root = built_root()
        command = FOLDER / "command"
        disk = FOLDER / "disk.img"
        compiler = FOLDER / "go"
        command.write_text(_command(arguments))
        # The VM has no Go, but Go's version is a part of the cache's keys.
        compiler.write_text(f"#!/bin/sh\necho go{go.find().version}\n")
        compiler.chmod(0o755)
        scripts = {"init.sh": Path(__file__).with_name("init.sh"), "command": command, "bin/go": compiler}
        write_disk(disk, {**_tree(), **_cached(), **scripts})
        return run_vm(root, disk, FOLDER / "status")
    finally:
        shutil.rmtree(FOLDER)


def _tree() -> dict[str, Path]:
    """The tree with its environment, and without its history."""
    return {f"tree/{path.name}": path for path in REPOSITORY.iterdir() if path.name != ".git"}


def _cached() -> dict[str, Path]:
    """What the tests would otherwise build in the VM."""
    cached = [*gotools.build(TOOLS), debian.unpacked(), _store()]
    return {f"cache/{_inside(path)}": path for path in cached}


def _store() -> Path:
    """Return containerd's store with the images."""
    return prepared_store([launcher_archive(), archive_of(AGENT)])


def _inside(cached: Path) -> Path:
    return cached.relative_to(CACHE.parent)


def _command(arguments: Sequence[str]) -> str:
    """A shell script. It names the store, whose key depends on archives that the VM lacks."""
    variables = {
        "TIMEOUT_FACTOR": str(FACTOR),
        "KUBERNETES": os.environ.get("KUBERNETES", ""),
        "NODE_STORE": str(MOUNT / "cache" / _inside(_store())),
    }
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    # -rP: what tests measured.
    pytest = ["python3", "-m", "pytest", "-p", "no:cacheprovider", "--color=no", "-v", "-rP", TESTS, *arguments]
    return "\n".join([*exports, f"exec {shlex.join(pytest)}", ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
