"""Makes root file systems of images from Debian's packages. mmdebstrap pulls no image; it needs root."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.builds.commands import run
from hack.builds.machine import apt_settings

# 1980, the first year that a zip file can hold. With one date for every file the same packages make the same root.
EPOCH = 315532800


@dataclass(frozen=True)
class DebianRoot:
    """What is in a root. All of it is part of the key of what is built from it."""

    packages: Sequence[str] = ()
    excluded: Sequence[str] = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
    suite: str = "trixie"
    architecture: str = ""  # Debian's name; without one, the machine's
    is_thrown_away: bool = False  # so dpkg need not wait for the disk after each file, then and later

    def __str__(self) -> str:
        return " ".join(self.arguments)

    @property
    def arguments(self) -> list[str]:
        """Return the arguments of mmdebstrap, but for the machine's settings and the target."""
        excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in self.excluded]
        packages = [f"--include={','.join(self.packages)}"] if self.packages else []
        special = [f"--architectures={self.architecture}"] if self.architecture else []
        special += ["--dpkgopt=force-unsafe-io"] if self.is_thrown_away else []
        recommends = '--aptopt=Apt::Install-Recommends "false"'
        return ["--quiet", "--variant=minbase", recommends, *special, *excluded, *packages, self.suite]

    def write(self, target: Path) -> None:
        """Write the root as a tar archive, or as a folder if the name has no suffix.

        A file with apt's settings is left beside it.
        """
        settings = target.with_name("apt.conf")
        settings.write_text(apt_settings())
        run(
            ["nice", "mmdebstrap", f"--aptopt={settings}", *self.arguments, target],
            environment={"SOURCE_DATE_EPOCH": str(EPOCH)},
        )
