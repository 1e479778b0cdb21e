"""Builds a real KubeVirt from its Go modules for the tests.

KubeVirt is unmodified, except that some modules that it names are not available: libguestfs.org/libnbd, and from 1.9 on
kubevirt.io/virt-template-api, -client-go and -engine. Stubs compile in their place, whose every call is an error.
The artifact is a folder with these files, none of which is in this tree:

  version         KubeVirt's
  virtctl
  kubevirt.tar    a docker archive of its images, which are one: Debian's libvirt and QEMU and KubeVirt's programs
  manifests/      what KubeVirt's own generator writes: the KubeVirt CRD, the operator's roles, its priority class
"""

import os
import shutil
import sys
from pathlib import Path

from hack.builds import go, kubevirt_layer
from hack.builds.cache import Store, describe_files, key_of
from hack.builds.commands import ROOT, BuildError, output, run
from hack.builds.debian import DebianRoot
from hack.builds.upstream import MOD, Project, release

MODULE = "kubevirt.io/kubevirt"
DEFAULT = "v1.9.0"
STUBS = "tests/kubevirt/image/stubs"
STORE = Store("kubevirt", pattern="v*")
ROOTS = Store("kubevirt-root")

# Raise it when these modules make something else of the same inputs.
STEPS = 1

# What the image holds, with its path below cmd/; older releases do not have all of them.
PROGRAMS = (
    *("virt-operator", "virt-api", "virt-controller", "virt-exportproxy"),
    *("virt-handler", "virt-launcher", "virt-launcher-monitor"),
    *("virt-tail", "virt-probe", "virt-freezer", "virt-launcher/libvirt-hook-client"),
)
SYSTEM = DebianRoot(
    packages=(
        *("libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-daemon-log", "libvirt-clients"),
        *("qemu-system-x86", "qemu-utils", "seabios", "xorriso", "passt"),
        *("nftables", "iproute2", "procps", "libcap2-bin"),
    )
)


def version() -> str:
    """Return the version to build; the variable KUBEVIRT chooses another one, as 1.8.4 or v1.8.4."""
    return release(os.environ.get("KUBEVIRT") or DEFAULT)


def project(chosen: str) -> Project:
    """Return what is built. KubeVirt 1.8 names a release of virt-template that Go can get, and 1.7 names none."""
    has_templates = tuple(int(number) for number in chosen.removeprefix("v").split(".")[:2]) >= (1, 9)
    stubs = {stub.name: stub for stub in sorted((ROOT / STUBS).iterdir()) if has_templates or stub.name == "libnbd"}
    return Project(MODULE, chosen, staged_version=chosen, stubs=stubs)


def build() -> Path:
    """Return the folder."""
    chosen = version()
    files = describe_files(STUBS, "tests/kubevirt/image/virtqemud.sh")
    flags = [str(_flags(chosen)), *PROGRAMS, str(SYSTEM)]
    entry = f"{chosen}-{key_of(str(STEPS), go.find().version, files, *flags)}"
    return STORE.obtain(
        entry,
        lambda new: _make(new, chosen),
        what=f"KubeVirt {chosen}",
        estimate="3 minutes; 15 if Go has nothing of it in its cache",
    )


def _flags(chosen: str, *, cgo: bool = True) -> go.Build:
    ldflags = f"{go.LDFLAGS} -X kubevirt.io/client-go/version.gitVersion={chosen}"
    return go.Build(ldflags=ldflags, mod=MOD, cgo=cgo)


def _make(folder: Path, chosen: str) -> None:
    if os.geteuid() != 0:
        raise BuildError(
            "only root can make the root of Debian packages that KubeVirt's programs run in; run it as root"
        )
    work = folder.parent
    folder.mkdir()
    source = project(chosen).download()
    _build_programs(work, source, chosen)
    root = ROOTS.obtain(f"{key_of(str(SYSTEM))}.tar", SYSTEM.write, what="a root of Debian packages")
    layer = kubevirt_layer.write(work / "layer", work / "image", source, root)
    run([sys.executable, "-m", "tests.kubevirt.image", folder / "kubevirt.tar", chosen, root, layer])
    _write_manifests(folder / "manifests", work / "tools/resource-generator")
    shutil.move(work / "tools/virtctl", folder / "virtctl")
    (folder / "version").write_text(f"{chosen}\n")


def _build_programs(work: Path, source: Path, chosen: str) -> None:
    compiler = go.find().ensured()
    module, image, tools = work / "module", work / "image", work / "tools"
    project(chosen).write_module(module, source)
    image.mkdir()
    tools.mkdir()
    programs = [program for program in PROGRAMS if (source / "cmd" / program).is_dir()]
    _flags(chosen).run(compiler, module, f"{image}/", [f"{MODULE}/cmd/{program}" for program in programs])
    # It runs where none of the image's libraries are.
    _flags(chosen, cgo=False).run(compiler, module, f"{image}/", [f"{MODULE}/cmd/virt-chroot"])
    _flags(chosen).run(compiler, module, f"{tools}/", [f"{MODULE}/cmd/virtctl", f"{MODULE}/tools/resource-generator"])
    main = source / "cmd/container-disk-v2alpha/main.c"
    run(["gcc", "-static", "-s", "-O2", "-o", image / "container-disk", main])


def _write_manifests(folder: Path, generator: Path) -> None:
    folder.mkdir()
    for kind in ("kv", "operator-rbac", "priorityclass"):
        (folder / f"{kind}.yaml").write_text(output([generator, "-type", kind, "-namespace", "kubevirt"]))
