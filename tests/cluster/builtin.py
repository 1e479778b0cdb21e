"""The images that every cluster has, both busybox: one holds a pod's namespaces, one is a userland for small pods."""

import subprocess
import tempfile
from pathlib import Path

from tests.cluster.images import BUSYBOX, PAUSE, File, Image, write_archive, write_layer

# The runtime ends a pod's sandbox with SIGKILL, so it needs no signal handler and only has to keep running.
_FOR_EVER = ("/bin/sleep", "2147483647")


def write_builtin(path: Path, busybox: Path) -> Path:
    """The archive of both."""
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    links = {f"bin/{applet}": File(target="busybox") for applet in applets if applet != "busybox"}
    files = {"bin/busybox": File(busybox.read_bytes(), mode=0o755), **links}
    with tempfile.TemporaryDirectory() as folder:
        layers = [write_layer(Path(folder, "busybox.tar"), files)]
        return write_archive(path, [Image(PAUSE, layers, entrypoint=_FOR_EVER), Image(BUSYBOX, layers)])
