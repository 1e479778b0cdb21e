"""Checks requirements/*.txt against pyproject.toml: each is locked at one version, by hash, without a source.

If a lock file lacked a package, pip would fetch it unpinned. If it named the place of a package, it would fail on a
machine that installs from another place.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")
_SOURCE = re.compile(r"://|--(?:extra-)?index-url|--find-links|--no-index|^-e ")


def wanted(pyproject: Path) -> dict[str, list[str]]:
    """What each lock file has to hold, as pyproject.toml says it."""
    project = tomllib.loads(pyproject.read_text())
    extras = project["project"]["optional-dependencies"]
    groups = {name: list(members(project["dependency-groups"], name)) for name in project["dependency-groups"]}
    base = project["project"]["dependencies"]
    return {
        "build.txt": groups["build"],
        "go.txt": groups["go"],
        "fuzz.txt": groups["fuzz"],
        "release.txt": groups["release"],
        "docs.txt": groups["docs"],
        "agent.txt": base + extras["agent"],
        "handler.txt": base + extras["handler"],
        "dev.txt": base + extras["agent"] + extras["handler"] + groups["build"] + groups["dev"],
    }


def members(groups: dict[str, list[str | dict[str, str]]], name: str) -> Iterator[str]:
    """The requirements of a dependency group and of the groups that it includes."""
    for member in groups[name]:
        if isinstance(member, str):
            yield member
        else:
            yield from members(groups, member["include-group"])


def pins(lock: Path) -> dict[str, str]:
    """Name and version of each package in a lock file."""
    found = (_PIN.match(line) for line in lock.read_text().splitlines())
    return {canonicalize_name(pin[1]): pin[2] for pin in found if pin}


def unlocked(name: str, asked: list[str], locked: dict[str, str]) -> Iterator[str]:
    """What is asked for and not there, or there at a version that is not admitted."""
    for requirement in map(Requirement, asked):
        version = locked.get(canonicalize_name(requirement.name))
        if version is None or version not in requirement.specifier:
            yield f"{name}: {requirement} is asked for, {version} is locked"


def untested(name: str, locked: dict[str, str], tested: dict[str, str]) -> Iterator[str]:
    """What an image or a build would install at another version than the tests ran with."""
    for package, version in locked.items():
        if tested.get(package) != version:
            yield f"{name}: {package} {version} is locked, {tested.get(package)} is tested (dev.txt)"


def sources(lock: Path) -> Iterator[str]:
    """Lines that say where a package comes from."""
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if _SOURCE.search(line):
            yield f"{lock.name}:{number}: names a source: {line.strip()}"


def mistakes(folder: Path, requirements: dict[str, list[str]]) -> Iterator[str]:
    """One sentence for each thing that is wrong with the lock files of a folder."""
    tested = pins(folder / "dev.txt")
    for name, asked in requirements.items():
        locked = pins(folder / name)
        yield from unlocked(name, asked, locked)
        if name not in ("go.txt", "fuzz.txt", "release.txt"):  # no parts of .venv
            yield from untested(name, locked, tested)
        yield from sources(folder / name)


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    if found := list(mistakes(root / "requirements", wanted(root / "pyproject.toml"))):
        sys.exit("\n".join([*found, "run: make requirements"]))
