"""Programs from Debian's packages, unpacked into the cache and not installed.

An installed runc would replace the one of a developer's Docker. The others could be installed, but a developer's
machine has no other use for them.
"""

import subprocess
from pathlib import Path

from hack.builds.cache import Store, key_of

# The OCI runtime; ptp and host-local among others; a whole userland for images in one file that needs no library; a
# registry of images.
PACKAGES = ("runc", "containernetworking-plugins", "busybox-static", "docker-registry")
# Four packages of 2 to 10 MB.
TIMEOUT = 300.0
STORE = Store("debian")


def unpacked() -> Path:
    """Return the root that holds them, as `usr/sbin/runc`, `usr/lib/cni/ptp`, `bin/busybox`."""
    return STORE.obtain(key_of(*PACKAGES), _unpack, what=", ".join(PACKAGES))


def _unpack(root: Path) -> None:
    folder = root.parent
    folder.chmod(0o755)  # apt-get drops its privileges for the download
    _run(["apt-get", "--quiet", "download", *PACKAGES], folder)
    for package in folder.glob("*.deb"):
        _run(["dpkg", "--extract", package.name, root.name], folder)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()} (is `apt-get update` due?)")
