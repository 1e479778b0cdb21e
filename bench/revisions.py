"""Builds what a run compares: the images of an earlier revision, and a machine that seems to have 16 CPUs."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.cluster.tools import REPOSITORY
from tests.node.archives import AGENT, HANDLER

#: Its file name in a root's /usr/bin.
CPUS_LIBRARY: Final = "sixteen-cpus.so"
# gRPC asks for the number of CPUs by sysconf(3) alone. The kernel schedules on those that there are.
_SIXTEEN: Final = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
long sysconf(int name) {
  if (name == _SC_NPROCESSORS_CONF || name == _SC_NPROCESSORS_ONLN) return 16;
  return ((long (*)(int))dlsym(RTLD_NEXT, "sysconf"))(name);
}
"""


class Archives(NamedTuple):
    """The images of one revision."""

    agent: Path
    handler: Path


def archives_of(revision: str) -> Archives:
    """Build the images of a git revision with its own Dockerfiles and its own build."""
    with tempfile.TemporaryDirectory(prefix="vss-bench-", dir="/tmp") as folder:
        # With the modes of a work tree, as an image of the same files is known by them.
        git = ["git", "-c", "tar.umask=0022", "archive", revision]
        files = subprocess.run(git, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", folder], input=files.stdout, check=True)
        build = [sys.executable, "-m", "hack.builds", "images", AGENT, HANDLER]
        built = subprocess.run(build, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Archives(*map(Path, built.split()))


def cpus_library(folder: Path) -> Path:
    """Compile a library that, preloaded, makes a program see 16 CPUs."""
    source, library = folder / "sixteen-cpus.c", folder / CPUS_LIBRARY
    source.write_text(_SIXTEEN)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return library
