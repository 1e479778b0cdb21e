"""`make demo` of a user without rights on a bare Debian 12: it names what root has to install, and then it works."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hack.builds import gotools, user
from hack.builds.commands import ROOT

#: Seconds. The longest takes 50 on a machine that does nothing else: 25 to compile libvirt-python, and the story.
pytestmark = pytest.mark.timeout(600)
TIMEOUT = 500.0

ANN = 1000
CHMOD = 0o755


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Ann's, with the repository's files in `source`."""
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(list_files, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.split("\0")[:-1]:
        if (ROOT / name).is_file():  # not one that was removed and is not committed
            target = tmp_path / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    give(tmp_path, ANN)
    return tmp_path


def give(folder: Path, owner: int) -> None:
    """Change the owner of all that is in it."""
    subprocess.run(["chown", "--recursive", f"{owner}:{owner}", folder], check=True)


def output(root: Path, home: Path, command: str) -> str:
    """Return what Ann sees, without a network."""
    unshare: list[str | Path] = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--"]
    done = subprocess.run(
        [*unshare, "sh", ROOT / "tests/host/user.sh", root, home, command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=TIMEOUT,
    )
    return done.stdout.decode()


def test_a_bare_debian_is_told_everything_at_once(home: Path) -> None:
    """The packages by Debian's names, all of them, and that nothing else needs root."""
    assert output(user.bare(), home, "make demo").splitlines()[:-1] == [
        "setup: these packages are missing. As root, run (the names are Debian's), then try again:",
        "  apt-get update",
        f"  apt-get install --no-install-recommends {' '.join(user.NAMED)}",
        "Nothing else needs root: the demo starts a libvirt of its own.",
    ]


def test_folders_that_cannot_be_written_to_are_in_the_same_message(home: Path) -> None:
    """The clone is root's, and so is the home."""
    give(home, os.geteuid())
    home.chmod(CHMOD)
    first, second, third, *_ = output(user.bare(), home, "make demo").splitlines()
    assert first.startswith("setup: /home/ann/source: ann cannot write here, and .venv is made here; clone ")
    assert second.startswith(
        "setup: /home/ann: ann cannot write here, and built programs are kept here; XDG_CACHE_HOME "
    )
    assert third.startswith("setup: these packages are missing. As root, run ")


def test_a_part_that_needs_root_says_so_before_it_builds_anything(home: Path) -> None:
    for part in ("host", "kubevirt", "node"):
        reason = "its machines are made of mounts and cgroups, which needs root; make check needs none"
        assert output(user.bare(), home, f"hack/part.sh {part}") == f"{part}: {reason}\n"


def test_the_demo_works_with_what_was_named(home: Path) -> None:
    """From the sources to its last line. grpcurl was built elsewhere, since Go's modules come from the network."""
    root = user.ready()
    said = output(root, home, "make setup-demo && .venv/bin/python -m hack.builds gotools --dir")
    folder = home / Path(said.splitlines()[-1]).relative_to("/home/ann")
    folder.mkdir(parents=True)
    shutil.copy(gotools.find("grpcurl").build(), folder)
    give(home, ANN)
    story = output(root, home, "make demo")
    assert "the end: every value above was checked, and nothing is left of " in story, story
