"""The VM's second disk: the tree and what the cache has for it, copied when the VM is made and thrown away with it.

Debian's cloud kernel has no 9p, and virtiofs needs a daemon that QEMU's package no longer contains. mke2fs fills a disk
from a folder. That folder is made of bind mounts in a mount namespace of its own, so nothing is copied twice.
"""

from collections.abc import Mapping
from pathlib import Path

from hack.builds.commands import run

# Bytes beside the content: a node's store of images, and what tests write. The file is sparse.
SPACE = 8 << 30
# Arguments: a folder, and pairs of a path in it and what is shown there; then `--` and a command.
_WITH_BINDS = """
set -e
stage=$1; shift
mount -t tmpfs stage "$stage"
while [ "$1" != -- ]; do
  target=$stage/$1 source=$2; shift 2
  mkdir -p "$(dirname "$target")"
  if [ -d "$source" ]; then mkdir "$target"; else : > "$target"; fi
  mount --bind "$source" "$target"
done
shift
exec "$@"
"""


def write_disk(image: Path, contents: Mapping[str, Path]) -> None:
    """Write an ext4 image that holds the files and folders, each at its path in the image."""
    stage = image.with_suffix(".stage")
    stage.mkdir()
    size = SPACE + sum(_size(path) for path in contents.values())
    with image.open("wb") as file:
        file.truncate(size)
    pairs = (word for target, source in contents.items() for word in (target, source))
    binds = ["unshare", "--mount", "sh", "-c", _WITH_BINDS, "with-binds", stage, *pairs, "--"]
    # A disk that lives as long as its VM needs no journal.
    run([*binds, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", stage, image])
    stage.rmdir()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files)
