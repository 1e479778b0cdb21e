"""Builds the images as docker archives, which `ctr images import`, `docker load` and `podman load` take.

Variables: PLATFORM=linux/arm64 is what they run on; without it, this machine's. With several, as in
PLATFORM=linux/amd64,linux/arm64, each image is one OCI archive with all of them, which `skopeo copy --all` pushes.
BUILDER=buildah|podman|docker chooses the engine. BASE=IMAGE is what the build stage starts from. Without it,
that is a base made of Debian's packages if mmdebstrap is installed, else the Dockerfile's, which is pulled.
SOURCE_DATE_EPOCH, REVISION and TAG, for a release, are the date of all files, the commit, and what is `dev` otherwise.
"""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.builds import engines, oci, platforms
from hack.builds.cache import Store, describe_files, key_of
from hack.builds.commands import ROOT, BuildError, run
from hack.builds.debian import EPOCH, DebianRoot
from hack.builds.engines import Engine
from hack.builds.machine import PipSettings, apt_settings
from hack.builds.progress import progress, say

STORE = Store("images", pattern="*.tar")
BASES = Store("image-base")
TAG = "dev"
#: As the manifests name the images. The host can exist nowhere (RFC 6761): what is not on a node is never pulled from a
#: registry where anyone can register a name.
REGISTRY = "registry.invalid/vmi-service-status"

# Raise it when this module makes something else of the same inputs.
STEPS = 2

# The build sees nothing but these and each image's own (.dockerignore).
COMMON = (
    "hack/images.d",
    ".dockerignore",
    "pyproject.toml",
    "LICENSE",
    "servicestatus",
    "requirements/build.txt",
)

# MB. Layers that nothing is built upon any more pile up, some 10 MB with each change of a program.
STORAGE_LIMIT = 6000
# Lines of a failed build that are shown.
LOG_LINES = 30


@dataclass(frozen=True)
class Image:
    """One image of the project."""

    name: str
    dockerfile: str
    inputs: tuple[str, ...]

    def key(self, environment: Mapping[str, str], *platforms: str) -> str:
        """Return the key of everything that the archive depends on."""
        chosen = (environment.get(name, "") for name in ("BASE", "SOURCE_DATE_EPOCH", "REVISION", "TAG"))
        files = describe_files(*COMMON, self.dockerfile, *self.inputs)
        return key_of(str(STEPS), files, *chosen, *platforms)


IMAGES = {
    image.name: image
    for image in (
        Image("launcher-agent", "Dockerfile.launcher", ("requirements/agent.txt", "launcher_agent")),
        Image(
            "handler-service",
            "Dockerfile.handler",
            ("requirements/handler.txt", "handler_service", "controller", "injection_webhook"),
        ),
    )
}


def build(names: Iterable[str] = ()) -> list[Path]:
    """Return the archives of these images, or of all of them."""
    wanted = list(names) or list(IMAGES)
    for name in wanted:
        if name not in IMAGES:
            raise BuildError(f"there is no image {name}; there are: {', '.join(IMAGES)}")
    chosen = platforms.chosen(os.environ)
    return [_obtain(IMAGES[name], chosen[0]) if len(chosen) == 1 else _join(IMAGES[name], chosen) for name in wanted]


def name_of(image: str) -> str:
    """Return the name of an image in its archive."""
    return f"{REGISTRY}/{image}:{os.environ.get('TAG') or TAG}"


def _obtain(image: Image, platform: str) -> Path:
    # An emulated build takes long, and one build runs at a time in a store: it must not hold the others up.
    own = platform == platforms.own()
    store = STORE if own else Store(f"images-{platforms.architecture(platform)}", pattern="*.tar")
    return store.obtain(
        f"{image.name}-{image.key(os.environ, platform)}.tar",
        lambda new: _make(new, image, platform, store.folder),
        what=f"{image.name} for {platform}",
        estimate="about two minutes; 10 s if only the program changed; ten times that for another processor",
    )


def _join(image: Image, chosen: tuple[str, ...]) -> Path:
    archives = [_obtain(image, platform) for platform in chosen]
    return STORE.obtain(
        f"{image.name}-{image.key(os.environ, *chosen)}.oci.tar",
        lambda new: oci.write(new, archives, name_of(image.name)),
        what=f"{image.name} for {' and '.join(chosen)}",
        estimate="half a minute",
    )


def _make(archive: Path, image: Image, platform: str, kept: Path) -> None:
    log = kept / f"{image.name}.log"
    log.unlink(missing_ok=True)
    storage = kept / "buildah"
    _limit_storage(storage)
    engine = engines.choose(storage, os.environ)
    if engine != engines.DOCKER:  # its daemon may be on another machine
        platforms.check(platform)
    with tempfile.TemporaryDirectory() as folder:
        plan = _plan(image, platform, _base(engine, platform), PipSettings.read(), Path(folder))
        try:
            engine.build(plan, archive, log)
        except BuildError as error:
            lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            raise BuildError(
                "\n".join([*lines, f"{image.name} was not built: {error}; the whole log: {log}"])
            ) from error


def _plan(image: Image, platform: str, base: str, pip: PipSettings, folder: Path) -> engines.Plan:
    """Return how an image is built. The machine's settings go in as secrets, which no layer keeps."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH)
    arguments = {
        "VERSION": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        "REVISION": os.environ.get("REVISION") or "unknown",
        "SOURCE_DATE_EPOCH": str(epoch),
        **({"BASE": base} if base else {}),
    }
    secrets = {"apt.conf": apt_settings().encode(), "pip.conf": pip.text.encode()}
    secrets["certificates"] = pip.certificates.read_bytes() if pip.certificates else b""
    for name, content in secrets.items():
        (folder / name).write_bytes(content)
    return engines.Plan(
        dockerfile=image.dockerfile,
        name=name_of(image.name),
        platform=platform,
        epoch=epoch,
        arguments=arguments,
        secrets={name: folder / name for name in secrets},
        volume=pip.wheels,
    )


def _base(engine: Engine, platform: str) -> str:
    """Return the image that the build stage starts from; none where the Dockerfile's own is to be pulled."""
    if base := os.environ.get("BASE", ""):
        return base
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        return ""
    foreign = "" if platform == platforms.own() else platforms.architecture(platform)
    root = DebianRoot(architecture=foreign, is_thrown_away=True)
    key = key_of(str(root))
    archive = BASES.obtain(f"{key}.tar", root.write, what="a base of Debian packages", estimate="about a minute")
    name = f"localhost/vmi-service-status/base:{key}"
    if not engine.has(name):
        with progress("images: loading the base"):
            engine.load_root(archive, name, platform)
    return name


def _limit_storage(storage: Path) -> None:
    """Remove the layers when they have become too many."""
    size = sum(path.lstat().st_blocks * 512 for path in storage.rglob("*") if not path.is_symlink())
    if size > STORAGE_LIMIT * 1_000_000:
        say(f"images: {storage} has grown above {STORAGE_LIMIT} MB and is made again")
        remove_storage(storage)


def remove_storage(storage: Path) -> None:
    """Remove buildah's storage, which is mounted upon itself; a build that was killed left its containers mounted."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if Path(mount).is_relative_to(storage):
            run(["umount", mount])
    shutil.rmtree(storage)
