"""The limits that the manifests give a container, and a cgroup with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import yaml

from injection_webhook import quantity
from tests.cluster.cgroups import Tree

BASE: Final = Path(__file__).parents[2] / "manifests/base"
MIB: Final = 1024**2
#: Microseconds: the kubelet's `cpuCFSQuotaPeriod`, by default.
_PERIOD: Final = 100_000


@dataclass(frozen=True)
class Limits:
    """`memory` is in bytes, `cpu` in cores; no `cpu` is no limit."""

    memory: int
    cpu: float | None = None

    @classmethod
    def of(cls, manifest: str, container: str) -> Self:
        """Return those of a container in a file of manifests/base."""
        documents = list(yaml.safe_load_all((BASE / manifest).read_text()))
        (found,) = (one for one in _objects(documents) if one.get("name") == container and "resources" in one)
        limits = {name: quantity.parse(value) for name, value in found["resources"]["limits"].items()}
        return cls(int(limits["memory"]), float(limits["cpu"]) if "cpu" in limits else None)


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a document."""
    if isinstance(part, dict):
        yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _objects(inner)


@contextmanager
def limited(name: str, limits: Limits) -> Iterator[Tree]:
    """Make a cgroup with these limits; remove it at the end, with its processes."""
    tree = Tree.create(f"vss-{name}-{uuid4().hex[:8]}")
    try:
        tree.file("memory.limit_in_bytes", "memory.max").write_text(str(limits.memory))
        if limits.cpu is not None:
            quota = tree.file("cpu.cfs_quota_us", "cpu.max")
            microseconds = round(limits.cpu * _PERIOD)
            quota.write_text(f"{microseconds} {_PERIOD}" if quota.name == "cpu.max" else str(microseconds))
        yield tree
    finally:
        tree.remove()
