"""Builds the Go programs that the tests start (kube-apiserver, etcd, kubelet, grpcurl...), one artifact each.

tests/cluster/go.mod and go.sum pin them. The variable KUBERNETES chooses another Kubernetes than the pinned one, as
1.34.9: then its own programs are built of that release, whatever it is pinned to itself, and all others stay.

One program is built at a time on a machine: Go uses every core, and two builds of one module do the same work twice.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from hack.builds import go
from hack.builds.cache import Store, key_of
from hack.builds.commands import BuildError
from hack.builds.upstream import MOD, Project, release

MODULE = go.GO_MOD.parent
STORE = Store("tools")
KUBERNETES = "k8s.io/kubernetes"

# A package has the name of its program, but for this one.
NAMES = {"go.etcd.io/etcd/server/v3": "etcd"}

# containerd without the storage drivers whose C libraries would have to be installed, and which no test uses.
TAGS = {
    "containerd": "no_btrfs,no_devmapper,no_zfs,no_tracing,urfave_cli_no_docs",
    "containerd-shim-runc-v2": "no_grpc",
    "ctr": "no_btrfs,no_devmapper,no_zfs,no_tracing,urfave_cli_no_docs",
}

# How long one takes on two cores from nothing, after those that it shares packages with.
ESTIMATES = {"kube-apiserver": "about 4 minutes", "kube-controller-manager": "about a minute"}


def programs(go_mod: str) -> dict[str, str]:
    """Return the package of each program in the `tool` block of a go.mod."""
    block = re.search(r"^tool \((.*?)^\)", go_mod, re.MULTILINE | re.DOTALL)
    packages = block[1].split() if block else []
    return {NAMES.get(package, package.rpartition("/")[2]): package for package in packages}


def version_of(module: str, go_mod: str) -> str:
    """Return the version of a module that a go.mod requires."""
    if (line := re.search(rf"^(?:require)?\s+{re.escape(module)} (\S+)", go_mod, re.MULTILINE)) is None:
        raise BuildError(f"{go.GO_MOD} does not require {module}")
    return line[1]


def kubernetes_version() -> str:
    """Return the version of Kubernetes that the tests run on."""
    chosen = os.environ.get("KUBERNETES")
    return release(chosen) if chosen else version_of(KUBERNETES, go.GO_MOD.read_text())


@dataclass(frozen=True)
class Tool:
    """One program, its package, and the Kubernetes that was chosen."""

    name: str
    package: str
    go_mod: str
    kubernetes: str

    @property
    def is_pinned(self) -> bool:
        """Whether go.mod and go.sum name all that it is built of."""
        return not self._is_kubernetes or self.kubernetes == version_of(KUBERNETES, self.go_mod)

    @property
    def flags(self) -> go.Build:
        """Return how it is built."""
        ldflags = " ".join([go.LDFLAGS, *self._variables()])
        how = go.Build(ldflags=ldflags, tags=TAGS.get(self.name, ""))
        return how if self.is_pinned else replace(how, mod=MOD)

    @property
    def path(self) -> Path:
        """Return where it is, or would be."""
        return STORE.folder / self._entry

    def build(self) -> Path:
        estimate = f"{ESTIMATES.get(self.name, 'half a minute')} if Go has nothing of it in its cache"
        what = self.name if self.is_pinned else f"{self.name} {self.kubernetes}"
        return STORE.obtain(self._entry, self._make, what=what, estimate=estimate)

    @property
    def _is_kubernetes(self) -> bool:
        return self.package.startswith(f"{KUBERNETES}/")

    @property
    def _entry(self) -> str:
        return f"{_pinned_key(self.go_mod) if self.is_pinned else _chosen_key(self.kubernetes)}/{self.name}"

    def _make(self, new: Path) -> None:
        module = MODULE
        if not self.is_pinned:
            module = new.parent / "module"
            project = Project(KUBERNETES, self.kubernetes, staged_version=f"v0{self.kubernetes.removeprefix('v1')}")
            project.write_module(module, project.download())
        self.flags.run(go.find().ensured(), module, new, [self.package])

    def _variables(self) -> list[str]:
        """Return the variables that the projects' own releases set. Kubernetes' programs compare their versions."""
        match self.package.split("/"):
            case ["k8s.io", "kubernetes", *_]:
                major, minor, *_ = self.kubernetes.removeprefix("v").split(".")
                values = {"gitVersion": self.kubernetes, "gitMajor": major, "gitMinor": minor}
                return [f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items()]
            case ["github.com", "containerd", "containerd", "v2", *_]:
                module = "github.com/containerd/containerd/v2"
                return [f"-X {module}/version.Version={version_of(module, self.go_mod)}"]
            case ["github.com", "fullstorydev", "grpcurl", *_]:
                return [f"-X main.version={version_of('github.com/fullstorydev/grpcurl', self.go_mod)}"]
        return []


def find(name: str) -> Tool:
    """Return a program by its name. Nothing is built yet."""
    known = tools(go.GO_MOD.read_text(), kubernetes_version())
    if name not in known:
        raise BuildError(f"there is no program {name} in {go.GO_MOD}; there are: {', '.join(sorted(known))}")
    return known[name]


def tools(go_mod: str, kubernetes: str) -> dict[str, Tool]:
    """Return all programs by their names."""
    return {name: Tool(name, package, go_mod, kubernetes) for name, package in programs(go_mod).items()}


def build(names: Iterable[str]) -> list[Path]:
    """Return the paths of these programs, after all of them have been built."""
    return [tool.build() for tool in [find(name) for name in names]]


def folders() -> list[Path]:
    """Return where all programs are, or would be: of one folder, or of two if another Kubernetes was chosen."""
    known = tools(go.GO_MOD.read_text(), kubernetes_version())
    return list(dict.fromkeys(tool.path.parent for tool in known.values()))


@cache
def _pinned_key(go_mod: str) -> str:
    """Everything that the pinned programs depend on."""
    pinned = version_of(KUBERNETES, go_mod)
    built = [f"{name} {tool.flags}" for name, tool in tools(go_mod, pinned).items()]
    # A comment in go.mod is no input.
    required = re.sub(r"\s*//.*", "", go_mod)
    return key_of(go.find().version, required, (MODULE / "go.sum").read_bytes(), *built)


def _chosen_key(kubernetes: str) -> str:
    """A release and its hashes never change, so its version says all but how it is built."""
    return f"{kubernetes}-{key_of(go.find().version, str(go.Build(mod=MOD)))}"
