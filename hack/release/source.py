"""Says what is released: the version, the commit and its date, and the notes; or why it cannot be released.

pyproject.toml is the only place with the version. The programs, the images and the names of files take it from there.
"""

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from hack.builds.commands import ROOT, BuildError, output

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)((a|b|rc)\d+)?")
# Of the changes that are in no commit.
_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """The commit that is released."""

    version: str
    commit: str
    epoch: int  # seconds: the commit's date, which every file of the release has
    notes: str
    tree: Path = ROOT  # what is built


def read(version: str, root: Path = ROOT) -> Source:
    """Return what the tree at `root` releases as `version`; raise BuildError if it cannot be that."""
    check_version(version, project_version(root))
    notes = notes_of(version, (root / "CHANGELOG.md").read_text())
    git = ["git", "-C", str(root)]
    if changes := output([*git, "status", "--porcelain"]).splitlines():
        more = f", and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        shown = ", ".join(line[3:] for line in changes[:_SHOWN])
        raise BuildError(f"a release is made of a commit, and these are in none: {shown}{more}; commit or remove them")
    commit = output([*git, "rev-parse", "HEAD"]).strip()
    return Source(version, commit, int(output([*git, "log", "-1", "--format=%ct", commit])), notes, root)


def export(source: Source, folder: Path) -> Source:
    """Return the source with its commit's files in a folder of their own.

    A change in the repository while a release is built is in no part of it, nor is a file that git ignores. The modes
    are those of a checkout with the umask 022, whatever that of the user is.
    """
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    git = ["git", "-C", str(source.tree), "-c", "tar.umask=0022"]
    output([*git, "archive", "--format=tar", f"--output={archive}", source.commit])
    output(["tar", "--extract", "--preserve-permissions", f"--file={archive}", f"--directory={folder}"])
    archive.unlink()
    return replace(source, tree=folder)


def project_version(root: Path = ROOT) -> str:
    """Return the version that pyproject.toml states."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def check_version(version: str, stated: str) -> None:
    """Raise BuildError unless `version` is one, and the one that pyproject.toml states."""
    if not _VERSION.fullmatch(version):
        given = f"{version!r} is none" if version else "none was given"
        raise BuildError(f"a version is needed, as in `make release VERSION={stated}`; {given}")
    if version != stated:
        raise BuildError(
            f"VERSION={version}, but pyproject.toml states {stated}; change it there, the only place that has it, and "
            "commit that, or release what it states"
        )


def notes_of(version: str, changelog: str) -> str:
    """Return the section of a version in the changelog, without its heading."""
    heading = rf"^## {re.escape(version)}(?![\w.-])[^\n]*\n"
    section = re.search(rf"{heading}(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        raise BuildError(f"CHANGELOG.md has no section `## {version}` with text in it; docs/release.md describes it")
    return section[1].strip() + "\n"
