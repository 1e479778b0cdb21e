"""Knows what each part of the test suite needs to be built before its tests' clocks start."""

import sys
from collections.abc import Callable, Iterable
from functools import partial

from hack.builds import gotools, host, images, kubevirt, peer, recipes, user
from hack.builds.commands import run

LIBVIRT = ("grpcurl",)
API_SERVER = (*LIBVIRT, "etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
NODE = (*API_SERVER, "kubelet", "kube-scheduler", "kube-proxy", "containerd", "containerd-shim-runc-v2", "ctr")

Step = Callable[[], object]


def _launcher() -> None:
    run([sys.executable, "-m", "tests.node.launcher.image"])


NEEDS: dict[str, tuple[Step, ...]] = {
    "libvirt": (partial(gotools.build, LIBVIRT),),
    "host": (partial(gotools.build, LIBVIRT), host.build, user.bare, user.ready),
    "apiserver": (partial(gotools.build, API_SERVER), recipes.build),
    "faults": (partial(gotools.build, API_SERVER),),
    "hostile": (partial(gotools.build, API_SERVER),),
    "bench": (partial(gotools.build, API_SERVER), images.build, peer.build),
    "node": (partial(gotools.build, NODE), images.build, _launcher),
    "kubevirt": (partial(gotools.build, NODE), images.build, kubevirt.build),
}


def build(parts: Iterable[str]) -> None:
    """Build what these parts need, in their order. A part that is not named above needs nothing."""
    for part in parts:
        for step in NEEDS.get(part, ()):
            step()
