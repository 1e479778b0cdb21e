"""Builds the Go programs that the tests start (kube-apiserver, etcd, kubelet, grpcurl...), one artifact each.

tests/cluster/go.mod and go.sum pin them. One program is built at a time on a machine: Go uses every core, and two
builds of one module do the same work twice.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from hack.builds import go
from hack.builds.cache import Store, key_of
from hack.builds.commands import BuildError

MODULE = go.GO_MOD.parent
STORE = Store("tools")

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


def flags(name: str, package: str, go_mod: str) -> go.Build:
    """Return how a program is built."""
    return go.Build(ldflags=" ".join([go.LDFLAGS, *_variables(package, go_mod)]), tags=TAGS.get(name, ""))


def _variables(package: str, go_mod: str) -> list[str]:
    """Return the variables that the projects' own releases set. Kubernetes' programs compare their versions."""
    match package.split("/"):
        case ["k8s.io", "kubernetes", *_]:
            version = version_of("k8s.io/kubernetes", go_mod)
            major, minor, *_ = version.removeprefix("v").split(".")
            values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
            return [f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items()]
        case ["github.com", "containerd", "containerd", "v2", *_]:
            module = "github.com/containerd/containerd/v2"
            return [f"-X {module}/version.Version={version_of(module, go_mod)}"]
        case ["github.com", "fullstorydev", "grpcurl", *_]:
            return [f"-X main.version={version_of('github.com/fullstorydev/grpcurl', go_mod)}"]
    return []


def version_of(module: str, go_mod: str) -> str:
    """Return the version of a module that a go.mod requires."""
    if (line := re.search(rf"^(?:require)?\s+{re.escape(module)} (\S+)", go_mod, re.MULTILINE)) is None:
        raise BuildError(f"{go.GO_MOD} does not require {module}")
    return line[1]


def folder() -> Path:
    """Return where the programs are, or would be. Everything that they depend on is part of the name."""
    go_mod = go.GO_MOD.read_text()
    built = [f"{name} {flags(name, package, go_mod)}" for name, package in programs(go_mod).items()]
    # A comment in go.mod is no input.
    required = re.sub(r"\s*//.*", "", go_mod)
    return STORE.folder / key_of(go.find().version, required, (MODULE / "go.sum").read_bytes(), *built)


def build(names: Iterable[str]) -> Path:
    """Return the folder, after all these programs have been built."""
    go_mod = go.GO_MOD.read_text()
    known = programs(go_mod)
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise BuildError(f"there is no program {name} in {go.GO_MOD}; there are: {', '.join(sorted(known))}")
    here = folder()
    for name in wanted:
        _build(here, name, known[name], flags(name, known[name], go_mod))
    return here


def _build(here: Path, name: str, package: str, how: go.Build) -> None:
    estimate = f"{ESTIMATES.get(name, 'half a minute')} if Go has nothing of it in its cache"
    STORE.obtain(
        f"{here.name}/{name}",
        lambda new: how.run(go.find().ensured(), MODULE, new, [package]),
        what=name,
        estimate=estimate,
    )
