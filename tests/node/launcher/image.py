"""The image of a launcher that is not KubeVirt's: Debian's libvirt and QEMU, and a script that starts both.

It is made of packages by mmdebstrap and kept in the cache: `python -m tests.node.launcher.image` makes it before the
tests' clocks start, and says where it is.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster.cache import CACHE, used
from tests.cluster.commands import run
from tests.cluster.images import PATH, REGISTRY, File, Image, write_archive, write_layer
from tests.cluster.mutex import held
from tests.cluster.tools import require_system

LAUNCHER = f"{REGISTRY}/launcher:1"
SUITE = "trixie"
PACKAGES = ("libvirt-clients", "libvirt-daemon", "libvirt-daemon-driver-qemu", "qemu-system-x86")
# What nobody reads in an image, and the emulators that libvirt would have to ask for what they can do.
EXCLUDED = (
    *("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"),
    *("/usr/bin/qemu-system-i386", "/usr/bin/qemu-system-x86_64-microvm"),
)
SCRIPT = Path(__file__).with_name("launcher.sh")
# libvirt looks its user up; this is KubeVirt's.
USERS = b"root:x:0:0::/root:/bin/sh\nqemu:x:107:107::/:/bin/sh\n"
GROUPS = b"root:x:0:\nqemu:x:107:\n"
# 100 MB of packages; three quarters of a minute where nothing else runs.
TIMEOUT = 600.0


def launcher_archive() -> Path:
    """Its docker archive."""
    require_system("mmdebstrap")
    folder = CACHE / "launcher" / _key()
    archive = folder / "launcher.tar"
    with held("launcher", timeout=TIMEOUT):
        if not archive.exists():
            _make(archive)
        used(folder)
    return archive


def _key() -> str:
    parts = (SUITE, *PACKAGES, *EXCLUDED, SCRIPT.read_text(), str(USERS), str(GROUPS))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _make(archive: Path) -> None:
    """The rename is last: an archive that is there is whole."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=archive.parent) as folder:
        system = _unpack(Path(folder, "system.tar"))
        files = {
            "usr/bin/launcher": File(SCRIPT.read_bytes(), mode=0o755),
            "etc/passwd": File(USERS),
            "etc/group": File(GROUPS),
        }
        program = write_layer(Path(folder, "program.tar"), files)
        image = Image(LAUNCHER, [system, program], entrypoint=["/usr/bin/launcher"], user="107", environment=[PATH])
        write_archive(Path(folder, archive.name), [image]).rename(archive)


def _unpack(root: Path) -> Path:
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    packages = (f"--include={','.join(PACKAGES)}", '--aptopt=Apt::Install-Recommends "false"', *_way_to_packages())
    how = ("--quiet", "--variant=minbase", *excluded, *packages)
    command: list[str | Path] = ["nice", "mmdebstrap", *how, SUITE, root]
    # Every file of the same date, so that the same packages make the same image.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"mmdebstrap: {done.stderr.strip()}")
    return root


def _way_to_packages() -> list[str]:
    """What this machine's apt knows of proxies and certificates, which mmdebstrap does not ask."""
    settings = run("apt-config", "dump").splitlines()
    return [f"--aptopt={line}" for line in settings if line.startswith(("Acquire::http", "Acquire::Retries"))]


if __name__ == "__main__":
    sys.stdout.write(f"{launcher_archive()}\n")
