"""The image of a launcher without KubeVirt: Debian's libvirt and QEMU, and a script that starts both.

mmdebstrap makes it of packages, and it is kept in the cache: `python -m tests.node.launcher.image` makes it before the
tests' time limits start, and prints its path.
"""

import sys
from pathlib import Path

from hack.builds.cache import Store, key_of
from hack.builds.debian import DebianRoot
from tests.cluster.images import PATH, REGISTRY, File, Image, write_archive, write_layer
from tests.cluster.tools import require_system

LAUNCHER = f"{REGISTRY}/launcher:1"
STORE = Store("launcher")
SYSTEM = DebianRoot(
    packages=("libvirt-clients", "libvirt-daemon", "libvirt-daemon-driver-qemu", "qemu-system-x86"),
    # libvirt would have to ask each emulator for its capabilities.
    excluded=(*DebianRoot.excluded, "/usr/bin/qemu-system-i386", "/usr/bin/qemu-system-x86_64-microvm"),
)
SCRIPT = Path(__file__).with_name("launcher.sh")
# libvirt looks its user up; this is KubeVirt's.
USERS = b"root:x:0:0::/root:/bin/sh\nqemu:x:107:107::/:/bin/sh\n"
GROUPS = b"root:x:0:\nqemu:x:107:\n"


def launcher_archive() -> Path:
    """Return its docker archive."""
    require_system("mmdebstrap")
    key = key_of(str(SYSTEM), SCRIPT.read_text(), USERS, GROUPS)
    return STORE.obtain(f"{key}/launcher.tar", _make, what="the image of a launcher", estimate="a minute")


def _make(archive: Path) -> None:
    folder = archive.parent
    system = folder / "system.tar"
    SYSTEM.write(system)
    files = {
        "usr/bin/launcher": File(SCRIPT.read_bytes(), mode=0o755),
        "etc/passwd": File(USERS),
        "etc/group": File(GROUPS),
    }
    program = write_layer(folder / "program.tar", files)
    image = Image(LAUNCHER, [system, program], entrypoint=["/usr/bin/launcher"], user="107", environment=[PATH])
    write_archive(archive, [image])


if __name__ == "__main__":
    sys.stdout.write(f"{launcher_archive()}\n")
