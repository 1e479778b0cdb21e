"""Builds programs of an unmodified Go project whose go.mod only works in its own source tree.

Kubernetes and KubeVirt keep modules in `staging/src`, publish each of them too, and replace them by those folders. Go
ignores the replacements of a required module. So a module is written that requires the project and replaces each
staging module by the one published with the release. Versions and hashes of all others come from the project's own
go.mod and go.sum.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hack.builds import go
from hack.builds.commands import BuildError, output

# Go adds the hashes of the published staging modules to go.sum, after its checksum database has confirmed them.
MOD = "mod"


@dataclass(frozen=True)
class Project:
    """One release of a project, and the folders of stubs that stand in for modules that Go cannot get."""

    module: str
    version: str
    staged_version: str
    stubs: Mapping[str, Path] = field(default_factory=dict)

    def download(self) -> Path:
        """Return the folder of its source, as Go's own cache of modules holds it."""
        compiler = go.find().ensured()
        command: list[str | Path] = [compiler.program, "mod", "download", "-json", f"{self.module}@{self.version}"]
        return Path(json.loads(output(command, environment={"GOTOOLCHAIN": "local"}))["Dir"])

    def write_module(self, folder: Path, source: Path) -> None:
        """Write a module in which the project's packages can be built, with `-mod=mod`."""
        folder.mkdir()
        shutil.copy(source / "go.sum", folder / "go.sum")
        for name, stub in self.stubs.items():
            shutil.copytree(stub, folder / name)
        (folder / "go.mod").write_text(self.module_file((source / "go.mod").read_text()))

    def module_file(self, own: str) -> str:
        """Return the text of that module's go.mod, made of the project's own."""
        line = re.search(r"^go .*$", own, re.MULTILINE)
        replacements = re.search(r"^replace \(\n(.*?)^\)", own, re.MULTILINE | re.DOTALL)
        if line is None or replacements is None:
            missing = "has no `go` line or no `replace` block"
            raise BuildError(f"the go.mod of {self.module} {self.version} {missing}; {__name__} expects both")
        published = re.sub(r"=> \./staging/src/(.*)", rf"=> \1 {self.staged_version}", replacements[1])
        stubs = "".join(f"\t{_module_of(stub)} => ./{name}\n" for name, stub in self.stubs.items())
        required = f"require {self.module} {self.version}"
        return f"module build\n\n{line[0]}\n\n{required}\n\nreplace (\n{published}{stubs})\n"


def release(version: str) -> str:
    """Return the name of a release as Go writes it: `v1.9.0` for 1.9.0."""
    return f"v{version.removeprefix('v')}"


def _module_of(stub: Path) -> str:
    line = re.search(r"^module (\S+)$", (stub / "go.mod").read_text(), re.MULTILINE)
    if line is None:
        raise BuildError(f"{stub}/go.mod has no `module` line")
    return line[1]
