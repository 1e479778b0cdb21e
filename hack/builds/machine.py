"""Reads what this machine's apt and pip know of proxies, certificates and mirrors, since a build has to know it too."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from hack.builds.commands import BuildError, output

_APT = re.compile(r"Acquire::(http|https|ftp|Check-Valid-Until|Check-Date|Retries)")
_PIP = {
    *("index-url", "extra-index-url", "no-index", "proxy", "retries"),
    *("timeout", "default-timeout", "trusted-host"),
}
# pip's own 5 are not enough: an emulated pip on a busy machine is so slow in the handshake that servers hang up.
RETRIES = 20
# Where a build of an image finds the certificates.
CERTIFICATES = "/run/certificates.pem"


def apt_settings() -> str:
    """Return the lines of `apt-config dump` that say how packages are fetched; none on a machine without apt."""
    try:
        lines = output(["apt-config", "dump"]).splitlines()
    except (BuildError, FileNotFoundError):
        return ""
    return "".join(f"{line}\n" for line in lines if _APT.match(line))


@dataclass(frozen=True)
class PipSettings:
    """The settings of pip, as they hold inside a build."""

    text: str  # of a pip.conf
    certificates: Path | None = None
    wheels: Path | None = None  # a local folder of packages, which the build has to see at the same path

    @classmethod
    def read(cls) -> "PipSettings":
        """Return those of this machine, from pip's files and its environment variables."""
        try:
            return parse_pip_settings(output([sys.executable, "-m", "pip", "config", "list"]))
        except BuildError:
            return parse_pip_settings("")


def parse_pip_settings(listing: str) -> PipSettings:
    """Return the settings that `pip config list` prints."""
    lines, certificates, wheels = ["[global]"], None, None
    for name, value in re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", listing, re.MULTILINE):
        if name == "cert":
            certificates = Path(value)
        elif name == "find-links" or name in _PIP:
            lines.append(f"{name} = {value}")
            if name == "find-links" and Path(value).is_dir():
                wheels = Path(value)
    if certificates is not None:
        lines.append(f"cert = {CERTIFICATES}")
    if not any(line.startswith("retries =") for line in lines):
        lines.append(f"retries = {RETRIES}")
    return PipSettings("".join(f"{line}\n" for line in lines), certificates, wheels)
