"""Knows the platforms that images are built for, and whether this machine can run their programs.

A build runs programs of the image's platform. Where that is not the machine's own, the kernel hands them to QEMU's
user-mode emulation (`binfmt_misc`), so that the Dockerfiles are the same for all platforms.
"""

import platform
from collections.abc import Mapping
from pathlib import Path

from hack.builds.commands import BuildError

# As OCI names them, and as Debian and as the kernel do.
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
REGISTERED = Path("/proc/sys/fs/binfmt_misc")


def own() -> str:
    """Return the platform of this machine."""
    for name, machine in MACHINES.items():
        if machine == platform.machine():
            return name
    raise BuildError(f"images are built on {' and '.join(MACHINES.values())}, not on {platform.machine()}")


def chosen(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the platforms that the variable PLATFORM names, without it this machine's; no platform twice."""
    names = [name for name in environment.get("PLATFORM", "").split(",") if name] or [own()]
    for name in names:
        if name not in MACHINES:
            raise BuildError(f"PLATFORM names {', '.join(MACHINES)}, separated by commas, not {name!r}")
    return tuple(dict.fromkeys(names))


def architecture(name: str) -> str:
    """Return Debian's and Go's name of a platform's processor."""
    return name.removeprefix("linux/")


def check(name: str, registered: Path = REGISTERED) -> None:
    """Raise BuildError if a program of this platform cannot be started here."""
    if name == own():
        return
    entry = registered / f"qemu-{MACHINES[name]}"
    if not entry.is_file() or not entry.read_text().startswith("enabled"):
        raise BuildError(
            f"this machine cannot run programs of {name}, as a build does: {entry} is missing or not enabled; run "
            "`hack/setup.sh emulation` as root (Debian: qemu-user-static, arch-test)"
        )
