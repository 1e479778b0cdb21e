"""Writes the layer of KubeVirt's image that lies upon Debian's packages.

Beside KubeVirt's programs it holds KubeVirt's settings of libvirt, the users that its pods run as, and what its images
have where Debian has it elsewhere.
"""

import os
import shutil
import tarfile
from pathlib import Path

from hack.builds.commands import ROOT, BuildError, run

VIRTQEMUD = ROOT / "tests/kubevirt/image/virtqemud.sh"
QEMU = 107
USERS = {
    "passwd": "qemu:x:107:107::/home/qemu:/bin/bash\nkubevirt:x:1001:1001::/:/bin/false\n",
    "group": "qemu:x:107:\nkubevirt:x:1001:\n",
}
FOLDERS = ("usr/bin", "usr/sbin", "etc/libvirt/hooks", "var", "home/qemu")


def write(layer: Path, programs: Path, source: Path, root: Path) -> Path:
    """Return the archive of the layer, whose files are put into the folder `layer`."""
    _copy_files(layer, programs, source / "cmd/virt-launcher")
    _add_users(layer / "etc", root)
    (layer / "var/run").symlink_to("../run")
    _set_modes(layer)
    # A user's pod listens below port 1024.
    run(["setcap", "cap_net_bind_service=+ep", layer / "usr/bin/virt-launcher-monitor"])
    archive = layer.with_suffix(".tar")
    keep = ("--xattrs", "--xattrs-include=security.capability", "--format=pax")
    run(["tar", *keep, "-C", layer, "-cf", archive, "."])
    return archive


def _copy_files(layer: Path, programs: Path, launcher: Path) -> None:
    for folder in FOLDERS:
        (layer / folder).mkdir(parents=True)
    for program in (*programs.iterdir(), launcher / "node-labeller/node-labeller.sh"):
        shutil.copy(program, layer / "usr/bin")
    shutil.copy(VIRTQEMUD, layer / "usr/sbin/virtqemud")
    shutil.copy(launcher / "nsswitch.conf", layer / "etc")
    for name in ("qemu.conf", "virtqemud.conf"):
        shutil.copy(launcher / name, layer / "etc/libvirt")
    shutil.copy(launcher / "qemu", layer / "etc/libvirt/hooks")


def _add_users(etc: Path, root: Path) -> None:
    with tarfile.open(root) as archive:
        for name, lines in USERS.items():
            file = archive.extractfile(f"./etc/{name}")
            if file is None:
                raise BuildError(f"{root} has no file etc/{name}; remove it, and it is made again")
            (etc / name).write_text(file.read().decode() + lines)


def _set_modes(layer: Path) -> None:
    """KubeVirt's source is read-only in Go's cache; every user of the image may read, and programs may be started."""
    for folder, folders, files in os.walk(layer):
        for name in (*folders, *files):
            path = Path(folder, name)
            if not path.is_symlink():
                executable = path.is_dir() or path.parent in {layer / "usr/bin", layer / "usr/sbin"}
                path.chmod(0o755 if executable else 0o644)
    (layer / "etc/libvirt/hooks/qemu").chmod(0o755)
    for top in (layer / "home/qemu", layer / "etc/libvirt/hooks"):
        for path in (top, *top.rglob("*")):
            os.chown(path, QEMU, QEMU)
