"""Writes KubeVirt's images into one archive: python -m tests.kubevirt.image ARCHIVE VERSION LAYER...

They are the same image with different users and programs: KubeVirt's own would be three gigabytes on a node.
"""

import sys
from pathlib import Path

from tests.cluster.images import Image, write_archive
from tests.kubevirt.build import image_name

# Kubernetes takes `runAsNonRoot` from a number alone.
SERVICE = "1001"
ROOT = "0"
USERS = {
    "virt-operator": SERVICE,
    "virt-api": SERVICE,
    "virt-controller": SERVICE,
    "virt-exportproxy": SERVICE,
    "virt-handler": ROOT,
    "virt-launcher": ROOT,
}


def main(archive: str, version: str, *layers: str) -> None:
    content = [Path(layer) for layer in layers]
    images = [Image(image_name(name, version), content, entrypoint=[name], user=user) for name, user in USERS.items()]
    write_archive(Path(archive), images)


if __name__ == "__main__":
    main(*sys.argv[1:])
