"""A guest of 40 bytes that reacts to its power button like an operating system: it fits into a disk's boot sector.

It writes `!` to the serial console when it has booted, a dot with each tick, and powers off when requested.
"""

from pathlib import Path

from tests.cluster.images import REGISTRY, File, Image, write_archive, write_layer
from tests.cluster.objects import Object

IMAGE = f"{REGISTRY}/guest:1"
BOOTED = b"!"
ALIVE = b"."
SECTOR = 512
# The least that every layer of a disk takes; all but the first sector is empty.
DISK = 1024 * 1024
# The registers are those of the ICH9, QEMU's q35, where its firmware puts them: 0x600 and up.
_CODE = bytes.fromhex(
    "fb"  # sti: the timer ends each hlt
    "baf803 b021 ee"  # out 0x3f8, '!'
    "ba0206 b80001 ef"  # out PM1_EN, PWRBTN_EN
    "f4"  # again: hlt
    "baf803 b02e ee"  # out 0x3f8, '.'
    "ba0006 ed"  # in PM1_STS
    "f6c401 74f0"  # not PWRBTN_STS: again
    "ef"  # out PM1_STS: seen
    "ba0406 b80020 ef"  # out PM1_CNT, SLP_EN and S5
    "ebe6"  # again, after a reboot that keeps it
)


def guest_archive(folder: Path) -> Path:
    """The image of a KubeVirt container disk, in an archive."""
    sector = _CODE.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"
    disk = File(sector.ljust(DISK, b"\0"), mode=0o444)
    layer = write_layer(folder / "guest-layer.tar", {"disk/boot.img": disk})
    return write_archive(folder / "guest.tar", [Image(IMAGE, [layer], user="107")])


def guest_spec(domain: Object) -> Object:
    """What gives a VMI this disk, on top of its domain."""
    disks = [{"name": "guest", "disk": {"bus": "sata"}}]
    volume = {"name": "guest", "containerDisk": {"image": IMAGE, "imagePullPolicy": "Never"}}
    return {"domain": {**domain, "devices": {**domain["devices"], "disks": disks}}, "volumes": [volume]}
