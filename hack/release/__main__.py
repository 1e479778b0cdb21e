"""Makes a release: `python -m hack.release 0.1.0`. `--once` builds it once, with what this machine has in its cache.

The variable PLATFORM=linux/amd64 leaves the other platform out, which is for trying: its build is emulated.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hack.builds import images, oci, platforms
from hack.builds.cache import CACHE
from hack.builds.commands import ROOT, BuildError, output
from hack.builds.progress import progress, say
from hack.release import folder, source
from hack.release.source import Source

# Two builds of two images for two platforms, one of them emulated.
ESTIMATE = "an hour; --once: 20 min, or a minute with the images in the cache"


def main() -> None:
    """Build what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m hack.release", description=__doc__)
    parser.add_argument("version", help="as pyproject.toml states it")
    parser.add_argument("--once", action="store_true", help="do not build a second time and compare")
    options = parser.parse_args()
    try:
        _release(source.read(options.version), once=options.once)
    except BuildError as error:
        say(f"release: {error}")
        sys.exit(1)


def _release(chosen: Source, *, once: bool) -> None:
    target = ROOT / "dist" / chosen.version
    say(f"release: {chosen.version} of {chosen.commit} ({ESTIMATE})")
    with tempfile.TemporaryDirectory(prefix="release-", dir=_work()) as name:
        work = Path(name)
        exported = source.export(chosen, work / "source")
        if once:
            _build(work / "first", exported, CACHE.parent)
        else:
            for turn in ("first", "second"):
                _build_from_nothing(work, turn, exported)
            compare(work / "first", work / "second")
        _check_documents(work / "first")
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(work / "first", target)
    sys.stdout.write(f"{target}\n")


def _work() -> Path:
    """Return a folder on the disk of the cache, since buildah's storage cannot be everywhere."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


def _build_from_nothing(work: Path, turn: str, chosen: Source) -> None:
    """Build with an empty cache: no base, no layer and no image is taken from an earlier build."""
    cache = work / f"{turn}-cache"
    try:
        _build(work / turn, chosen, cache)
    finally:
        for storage in (cache / CACHE.name).glob("images*/buildah"):
            images.remove_storage(storage)
        shutil.rmtree(cache, ignore_errors=True)


def _build(target: Path, chosen: Source, cache: Path) -> None:
    environment = {
        "SOURCE_DATE_EPOCH": str(chosen.epoch),
        "REVISION": chosen.commit,
        "TAG": chosen.version,
        "XDG_CACHE_HOME": str(cache),
    }
    everything = {"PLATFORM": ",".join(platforms.MACHINES)}
    with progress(f"release: the {target.name} build"):
        wanted = platforms.chosen({**everything, **os.environ})
        built = [_images(chosen.tree, {**environment, "PLATFORM": platform}) for platform in wanted]
        joined = {}
        for image, archives in zip(images.IMAGES, zip(*built, strict=True), strict=True):
            joined[image] = target.with_name(f"{target.name}-{image}.oci.tar")
            oci.write(joined[image], archives, f"{images.REGISTRY}/{image}:{chosen.version}")
        folder.write(target, chosen, joined)


def _images(tree: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return the archives for one platform.

    A process of its own, since the cache is chosen at its start, and the tree by the folder that it runs in.
    """
    command = [sys.executable, "-m", "hack.builds", "images", *images.IMAGES]
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise BuildError("the images were not built, as said above")
    return [Path(line) for line in done.stdout.split()]


def compare(first: Path, second: Path) -> None:
    """Raise BuildError if two builds differ in a byte of any file."""
    lines = [set((build / folder.SUMS).read_text().splitlines()) for build in (first, second)]
    if different := sorted({line.split("  ")[1] for line in lines[0] ^ lines[1]}):
        raise BuildError(
            f"two builds from nothing differ in {', '.join(different)}; if Debian published a package between them, "
            "run it again"
        )
    say(f"release: all {len(lines[0])} files of two builds from nothing are the same, byte by byte")


def _check_documents(built: Path) -> None:
    """Raise BuildError if SPDX's own tools object to a document. hack/release.sh installs them."""
    for document in sorted(built.glob("*.spdx.json")):
        tool = ["-m", "spdx_tools.spdx.clitools.pyspdxtools", "--infile", str(document), "--version", "SPDX-2.3"]
        output([sys.executable, *tool], environment={"PYTHONPATH": str(ROOT / ".venv/release")})


if __name__ == "__main__":
    main()
