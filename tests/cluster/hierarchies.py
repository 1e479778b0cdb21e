"""The mounted cgroup hierarchies: one with cgroup v2, one per controller with v1, all if both are mounted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy. `root` is the cgroup at its mount point; `options` mount a v1 hierarchy again."""

    mount: Path
    root: str
    options: str

    @property
    def unified(self) -> bool:
        """Whether it is cgroup v2's."""
        return not self.options

    def parent(self) -> Path:
        """Return where this process may make cgroups with all controllers.

        With v1 that is its own cgroup, whose limits then apply to them too. With v2 a cgroup that has processes of its
        own cannot enable controllers, except for the root.
        """
        own = "/" if self.unified else self._own()
        inside = self.mount / own.removeprefix(self.root).lstrip("/")
        return inside if inside.is_dir() else self.mount

    def _own(self) -> str:
        """See cgroups(7): hierarchy number, controllers, path."""
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        names = self.options.removeprefix("none,")
        return next((path for _, controllers, path in lines if controllers == names), "/")


def hierarchies() -> list[Hierarchy]:
    """In the order in which they were mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [found for line in lines if (found := _hierarchy(line))]


def _hierarchy(line: str) -> Hierarchy | None:
    """See proc_pid_mountinfo(5): ID, parent, device, root, mount point, ..., dash, type, source, options."""
    left, _, right = line.partition(" - ")
    root, mount = left.split()[3:5]
    kind, _, options = right.split()
    if kind not in {"cgroup", "cgroup2"}:
        return None
    return Hierarchy(Path(mount), root, _v1_options(options.split(",")) if kind == "cgroup" else "")


def _v1_options(words: Sequence[str]) -> str:
    """A hierarchy with controllers is identified by them, one without controllers by its name."""
    named = [word for word in words if word.startswith("name=")]
    known = {line.split()[0] for line in Path("/proc/cgroups").read_text().splitlines()[1:]}
    return ",".join(["none", *named] if named else [word for word in words if word in known])
