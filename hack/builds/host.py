"""Makes Debian hosts with libvirt, for tests/host: root file systems that systemd can start in.

A root has the packages that docs/one-host.md names, and no other of Debian's: pip compiles
libvirt-python with them. The Python packages are kept as wheels in the root, so that a test installs without a network.
"""

import shutil
import tomllib
from pathlib import Path

from hack.builds.cache import Store, key_of
from hack.builds.commands import ROOT, BuildError, run
from hack.builds.debian import DebianRoot
from hack.builds.machine import PipSettings
from testbed.documents import script

#: By the name that Debian gives its release: 12 and 13.
SUITES = ("bookworm", "trixie")
STORE = Store("host")
#: Where the wheels are in a root.
WHEELS = "/wheels"
#: What a libvirt host has before anyone installs this project.
_SYSTEM = ("dbus", "libvirt-daemon-system", "qemu-system-x86", "systemd")
# libvirt would have to ask each emulator for its capabilities.
_EXCLUDED = (*DebianRoot.excluded, "/usr/bin/qemu-system-i386", "/usr/bin/qemu-system-x86_64-microvm")
#: Runs in a mount namespace of its own. $1 is the root, $2 a folder that becomes /run, $3 a folder of packages or "".
_WHEELS_SCRIPT = f"""
mount --make-rprivate /
mount --bind "$2" "$1/run"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
touch "$1/etc/resolv.conf"
mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
if [ -n "$3" ]; then mkdir -p "$1/$3"; mount --bind "$3" "$1/$3"; fi
root=$1
shift 3
chroot "$root" python3 -m venv /run/venv
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin PIP_CONFIG_FILE=/run/pip.conf \\
  chroot "$root" /run/venv/bin/pip --quiet --disable-pip-version-check wheel --wheel-dir {WHEELS} "$@"
"""


def build() -> list[Path]:
    """Return the folders of all roots."""
    return [root(suite) for suite in SUITES]


def root(suite: str) -> Path:
    """Return the folder of a root, in which nothing must be changed."""
    system, packages = _system(suite), _python_packages()
    key = key_of(str(system), _WHEELS_SCRIPT, *packages)
    return STORE.obtain(
        f"{key}/root",
        lambda new: _make(new, system, packages),
        what=f"a Debian {suite} with libvirt",
        estimate="2 min",
    )


def _system(suite: str) -> DebianRoot:
    words = script("one-host.md", "packages").split()
    if words[:2] != ["apt", "install"]:
        raise BuildError("docs/one-host.md: the packages are no line `apt install PACKAGE...`")
    return DebianRoot(packages=(*_SYSTEM, *words[2:]), excluded=_EXCLUDED, suite=suite)


def _python_packages() -> list[str]:
    """Return what pip needs for `pip install '.[agent]'`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = project["project"]
    return [
        *project["build-system"]["requires"],
        *declared["dependencies"],
        *declared["optional-dependencies"]["agent"],
    ]


def _make(new: Path, system: DebianRoot, packages: list[str]) -> None:
    system.write(new)
    pip = PipSettings.read()
    folder = new.with_name("run")
    folder.mkdir()
    (folder / "pip.conf").write_text(pip.text)
    if pip.certificates is not None:
        shutil.copy(pip.certificates, folder / "certificates.pem")
    wheels = str(pip.wheels or "")
    run(["unshare", "--mount", "sh", "-euc", _WHEELS_SCRIPT, "wheels", new, folder, wheels, *packages])
