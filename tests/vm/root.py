"""The VM's first disk and its kernel: Debian, made of packages."""

import sys
from dataclasses import dataclass
from pathlib import Path

from hack.builds.cache import Store, key_of
from hack.builds.commands import BuildError, run
from hack.builds.debian import DebianRoot

STORE = Store("vm")
# The tests' Python packages are those of the tree's environment, compiled for its Python. Debian's must be the same.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
PACKAGES = (
    *("linux-image-cloud-amd64", "kmod"),
    # What libvirt-python is linked with, and what a node of tests/cluster calls.
    *("python3", "libvirt0", "iproute2", "iptables", "openssl"),
)
# The root holds no init: process 1 is in the tree, on the second disk.
INIT = "#!/bin/sh\nmount -o noatime /dev/vdb /mnt\nexec sh /mnt/init.sh\n"
# Bytes. The root's packages have 400 MB.
SIZE = 1 << 30


@dataclass(frozen=True)
class Root:
    """What QEMU boots from."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "root.img"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"


def built_root() -> Root:
    """Return it; made of packages in two minutes, and kept in the cache."""
    version = sys.version_info[:2]
    if version not in SUITES:
        known = ", ".join(f"3.{minor}" for _, minor in SUITES)
        raise BuildError(f"the environment's Python is 3.{version[1]}; Debian has releases with {known}")
    system = DebianRoot(packages=PACKAGES, suite=SUITES[version])
    key = key_of(str(system), INIT, str(SIZE))
    return Root(STORE.obtain(key, lambda new: _make(new, system), what="a Debian for a VM", estimate="two minutes"))


def _make(folder: Path, system: DebianRoot) -> None:
    files = folder.parent / "root"
    system.write(files)
    init = files / "sbin/init"
    init.write_text(INIT)
    init.chmod(0o755)
    folder.mkdir()
    root = Root(folder)
    with root.disk.open("wb") as file:
        file.truncate(SIZE)
    run(["mke2fs", "-q", "-t", "ext4", "-d", files, root.disk])
    for name, target in (("vmlinuz-*", root.kernel), ("initrd.img-*", root.initrd)):
        (found,) = (files / "boot").glob(name)
        found.rename(target)
