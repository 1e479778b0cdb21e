"""Runs a program as in its image: with the image's Python, libraries and user, and in a separate cgroup.

No container engine is needed: the image's layers are unpacked into a folder, which a process enters in a separate mount
namespace. /tmp, where the sockets are, is that of this machine. The peer's programs run in the same images.
"""

import itertools
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.commands import User
from testbed.processes import ManagedProcess
from tests.cluster.cgroups import Charged, Tree
from tests.node.archives import Archive

_PREFIX = "vss-bench-"
_ENTER = """
set -e
root=$1 user=$2
shift 2
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root/$2"; else mkdir -p "$(dirname "$root/$2")"; touch "$root/$2"; fi
  mount --bind "$1" "$root/$2"
  shift 2
done
shift
mount --bind /tmp "$root/tmp"
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec chroot --userspec="$user" "$root" "$@"
"""


class Root:
    """Unpacks an image into a temporary folder."""

    def __init__(self, archive: Path, extra: Sequence[Path] = ()) -> None:
        """The programs in `extra` are copied into /usr/bin."""
        self._archive = archive
        self._extra = extra
        self._temporary = tempfile.TemporaryDirectory(prefix="vss-bench-root-", dir="/tmp")
        self.path = Path(self._temporary.name)

    def __enter__(self) -> Self:
        config = Archive(self._archive).config
        self.env = dict(variable.split("=", 1) for variable in config["Env"])
        self._unpack(self._archive)
        for program in self._extra:
            (self.path / "usr/bin" / program.name).write_bytes(program.read_bytes())
            (self.path / "usr/bin" / program.name).chmod(0o755)
        for folder in ("tmp", "proc", "dev"):
            (self.path / folder).mkdir(exist_ok=True)
        self.path.chmod(0o755)
        self.forget_pages()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._temporary.cleanup()

    def _unpack(self, archive: Path) -> None:
        with tarfile.open(archive) as whole:
            for layer in self._layers(whole):
                tar = subprocess.Popen(["tar", "-x", "-C", self.path], stdin=subprocess.PIPE)
                assert tar.stdin is not None
                tar.stdin.write(layer)
                tar.stdin.close()
                assert tar.wait() == 0

    @staticmethod
    def _layers(whole: tarfile.TarFile) -> list[bytes]:
        manifest = whole.extractfile("manifest.json")
        assert manifest is not None
        (image,) = json.load(manifest)
        files = (whole.extractfile(name) for name in image["Layers"])
        return [file.read() for file in files if file is not None]

    def forget_pages(self) -> None:
        """Drop the files from the page cache, because the first reader is charged: it must be a container."""
        os.sync()
        for file in self.path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                descriptor = os.open(file, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def sweep() -> None:
    """End the processes of a killed bench: a process that changed its user gets no signal when its parent dies."""
    for tree in Tree.find(_PREFIX):
        owner = tree.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            tree.remove()


class Container(ManagedProcess):
    """Runs one program in an image's root. The program ends with this process."""

    _numbers = itertools.count(1)

    def __init__(
        self, root: Root, argv: Sequence[str | Path], log: Path, *, user: User | None = None,
        env: Mapping[str, str] | None = None, binds: Mapping[Path, str] | None = None,
    ) -> None:  # fmt: skip
        """`binds` are files and folders of this machine, and where they are in the root."""
        self._tree = Tree.create(f"{_PREFIX}{os.getpid()}-{next(self._numbers)}")
        owner = user or User(0, 0)
        inside: list[str | Path] = ["sh", "-c", _ENTER, "enter-root", root.path, f"{owner.uid}:{owner.gid}"]
        for here, there in (binds or {}).items():
            inside += [here, there]
        inside += ["--", *argv]
        whole = self._tree.entering(["unshare", "--mount", *inside])
        super().__init__(whole, log=log, env={**root.env, "PATH": os.environ["PATH"], **(env or {})})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._tree.remove()

    def charged(self) -> Charged:
        """Return the memory that its cgroup is charged with."""
        return self._tree.charged()
