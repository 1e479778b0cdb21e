"""Programs that build an image from a Dockerfile: buildah, which needs no daemon, else podman or docker."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hack.builds.commands import BuildError, output, run, succeeds
from hack.builds.platforms import architecture


@dataclass(frozen=True)
class Plan:
    """One build."""

    dockerfile: str
    name: str
    platform: str
    epoch: int  # the date of every file
    arguments: Mapping[str, str]
    secrets: Mapping[str, Path]
    volume: Path | None = None  # a folder that the build sees at the same path

    def options(self) -> list[str | Path]:
        """Return what all engines take."""
        arguments = (word for name, value in self.arguments.items() for word in ("--build-arg", f"{name}={value}"))
        secrets = (word for name, path in self.secrets.items() for word in ("--secret", f"id={name},src={path}"))
        # A base that is here is the one that is wanted; only a missing one is looked for elsewhere.
        base = ("--platform", self.platform, "--pull=false")
        return ["--file", self.dockerfile, "--tag", self.name, *base, *arguments, *secrets]

    def layered(self) -> list[str | Path]:
        """Return what buildah and podman take too. With --layers a change of the program keeps the packages' layer."""
        volume = [f"--volume={self.volume}:{self.volume}:ro"] if self.volume else []
        return ["--layers", "--timestamp", str(self.epoch), *volume]


class Engine(Protocol):
    """Builds images and keeps their layers."""

    def has(self, image: str) -> bool:
        """Return whether the engine has an image of this name."""

    def load_root(self, archive: Path, image: str, platform: str) -> None:
        """Make an image of one layer, which is a tar archive."""

    def build(self, plan: Plan, archive: Path, log: Path) -> None:
        """Build an image and write it as a docker archive."""


@dataclass(frozen=True)
class Buildah:
    """It has a storage of its own here, so that the machine's has no image that was not asked for, and no runtime."""

    storage: Path

    def has(self, image: str) -> bool:
        return succeeds(self._command("inspect", "--type", "image", image))

    def load_root(self, archive: Path, image: str, platform: str) -> None:
        container = output(self._command("from", "scratch")).strip()
        output(self._command("config", "--arch", architecture(platform), container))
        output(self._command("add", "--quiet", container, archive, "/"))
        output(self._command("commit", "--quiet", container, image))
        output(self._command("rm", container))

    def build(self, plan: Plan, archive: Path, log: Path) -> None:
        # Without its own version among the labels the image is the same whichever buildah made it.
        how = ("--isolation", "chroot", "--identity-label=false")
        run(self._command("build", *how, *plan.options(), *plan.layered(), "."), log=log)
        run(self._command("push", "--quiet", plan.name, f"docker-archive:{archive}:{plan.name}"), log=log)

    def _command(self, *words: str | Path) -> Sequence[str | Path]:
        storage = ("--root", self.storage, "--runroot", self.storage / "run", "--storage-driver", "overlay")
        return ["buildah", *storage, *words]


@dataclass(frozen=True)
class Client:
    """podman or docker, in the machine's own storage."""

    program: str
    is_layered: bool = False

    def has(self, image: str) -> bool:
        return succeeds([self.program, "image", "inspect", image])

    def load_root(self, archive: Path, image: str, platform: str) -> None:
        # podman's word first: it has no --platform there, and docker has nothing else.
        which = ["--arch", architecture(platform)] if self.is_layered else ["--platform", platform]
        output([self.program, "import", *which, archive, image])

    def build(self, plan: Plan, archive: Path, log: Path) -> None:
        layered = plan.layered() if self.is_layered else []
        run([self.program, "build", *plan.options(), *layered, "."], log=log)
        run([self.program, "save", "--output", archive, plan.name], log=log)


DOCKER = Client("docker")


def choose(storage: Path, environment: Mapping[str, str]) -> Engine:
    """Return the engine that the variable BUILDER names, or the first one that is here and works."""
    engines: dict[str, Engine] = {
        "buildah": Buildah(storage),
        "podman": Client("podman", is_layered=True),
        "docker": DOCKER,
    }
    if wanted := environment.get("BUILDER"):
        if wanted not in engines:
            raise BuildError(f"BUILDER is buildah, podman or docker, not {wanted}")
        return engines[wanted]
    if shutil.which("buildah") and os.geteuid() == 0:
        return engines["buildah"]
    if shutil.which("podman"):
        return engines["podman"]
    if succeeds(["docker", "info"]):
        return engines["docker"]
    raise BuildError(
        "no program here can build an image: buildah needs root, podman is missing, and docker is missing or does not "
        "answer; install buildah and mmdebstrap (Debian's names) and run it as root"
    )
