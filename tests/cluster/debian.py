"""Programs from Debian's packages, unpacked into the cache and not installed.

runc would, as an installed package, take the place of the one that a developer's Docker brings. The others could be
installed, but nothing on a developer's machine wants them.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.cluster.cache import CACHE, used
from tests.cluster.mutex import held

# The OCI runtime; ptp and host-local among others; a whole userland for images in one file that needs no library.
PACKAGES = ("runc", "containernetworking-plugins", "busybox-static")
# Three packages of 2 to 10 MB.
TIMEOUT = 300.0


def unpacked() -> Path:
    """The root under which they lie (`usr/sbin/runc`, `usr/lib/cni/ptp`, `bin/busybox`)."""
    root = CACHE / "debian" / hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    with held("debian", timeout=TIMEOUT):
        if not root.exists():
            _unpack(root)
        used(root)
    return root


def _unpack(root: Path) -> None:
    """The rename is last: a root that is there is whole. What a killed one left is removed by the next."""
    root.parent.mkdir(parents=True, exist_ok=True)
    for left in root.parent.glob("new-*"):
        shutil.rmtree(left)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=root.parent))
    try:
        new.chmod(0o755)  # apt-get drops its privileges for the download
        _run(["apt-get", "--quiet", "download", *PACKAGES], new)
        for package in new.glob("*.deb"):
            _run(["dpkg", "--extract", package.name, "root"], new)
        (new / "root").rename(root)
    finally:
        shutil.rmtree(new)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()} (is `apt-get update` due?)")
