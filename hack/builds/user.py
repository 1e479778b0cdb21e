"""Makes a Debian 12 as a new user finds it, and one in which root has installed what `make demo` asks for.

The Python packages are kept as files in the second root, at the versions and hashes of requirements/, so that a test
installs without a network.
"""

import platform
import sys
from pathlib import Path

from hack.builds.cache import Store, describe_files, key_of
from hack.builds.commands import run
from hack.builds.debian import DebianRoot

STORE = Store("user")
#: What the README requires; the sources get into the root by other ways than git.
FIRST = ("make",)
#: What `make demo` names on a root that has only that. A test compares it with the message.
NAMED = (
    *("gcc", "libc6-dev", "libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-dev", "pkgconf", "python3"),
    *("python3-dev", "python3-venv", "qemu-system-x86"),
)
#: Where the Python packages are in the second root.
WHEELS = "/wheels"
_LOCKS = ("requirements/build.txt", "requirements/agent.txt")
_SUITE, _PYTHON = "bookworm", "3.11"


def bare() -> Path:
    """Return the folder of the first root, in which nothing must be changed."""
    system = DebianRoot(packages=FIRST, suite=_SUITE)
    return STORE.obtain(f"{key_of(str(system))}/root", system.write, what="a bare Debian 12", estimate="half a minute")


def ready() -> Path:
    """Return the folder of the second root, in which nothing must be changed."""
    system = DebianRoot(packages=(*FIRST, *NAMED), suite=_SUITE)

    def make(new: Path) -> None:
        system.write(new)
        run([*_download(), f"--dest={new}{WHEELS}", *(f"--requirement={lock}" for lock in _LOCKS)])

    key = key_of(str(system), describe_files(*_LOCKS), *_download())
    return STORE.obtain(f"{key}/root", make, what="a Debian 12 for the demo", estimate="2 min")


def _download() -> list[str]:
    """Return pip's command for the Python of that Debian, whichever runs this."""
    machine = platform.machine()
    platforms = [f"manylinux_2_28_{machine}", f"manylinux_2_17_{machine}", f"manylinux2014_{machine}", "any"]
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps", "--no-build-isolation"),
        *(f"--python-version={_PYTHON}", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none"),
        *(f"--platform={one}" for one in platforms),
    ]
