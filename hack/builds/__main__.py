"""Builds artifacts and prints where they are: `python -m hack.builds --help`."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hack.builds import gotools, images, kubevirt, parts, peer, recipes
from hack.builds.cache import CACHE
from hack.builds.commands import ROOT, BuildError
from hack.builds.progress import say

FOLDERS: Mapping[str, Callable[[], Path]] = {"kubevirt": kubevirt.build, "peer": peer.build, "recipes": recipes.build}


def main(arguments: Sequence[str] | None = None) -> None:
    """Build what the command line names."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    if options.background:
        words.remove("--background")
        sys.stdout.write(f"{_start_in_background(words)}\n")
        return
    try:
        for path in _answer(options):
            sys.stdout.write(f"{path}\n")
    except BuildError as error:
        say(f"hack.builds: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _answer(options: argparse.Namespace) -> Sequence[Path]:
    """Return the paths to print."""
    match options.what:
        case "gotools":
            return gotools.folders() if options.dir else gotools.build(options.name)
        case "images":
            return images.build(options.name)
        case "parts":
            parts.build(options.name)
            return []
        case what:
            return [FOLDERS[what]()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hack.builds",
        description=f"Builds an artifact unless {CACHE} has it, and prints its path.",
    )
    parser.add_argument(
        "--background",
        action="store_true",
        help="start the build with a log (build.log in the cache), print its process group, and return",
    )
    kinds = parser.add_subparsers(dest="what", required=True)
    tools = kinds.add_parser(
        "gotools", help="Go programs that the tests start; the variable KUBERNETES=1.34.9 chooses its version"
    )
    tools.add_argument("--dir", action="store_true", help="print where they are or would be, and build nothing")
    tools.add_argument("name", nargs="*", help="a program, such as grpcurl; without one, nothing is built")
    images_ = kinds.add_parser("images", help="the images as docker archives", epilog=images.__doc__)
    images_.add_argument("name", nargs="*", help=f"one of {', '.join(images.IMAGES)}; without one, all of them")
    kinds.add_parser("kubevirt", help="a real KubeVirt; the variable KUBEVIRT=1.8.4 chooses another version")
    kinds.add_parser("peer", help="the Go programs that the bench compares with")
    kinds.add_parser("recipes", help="the Go programs in docs/")
    needs = kinds.add_parser("parts", help="everything that parts of the test suite need")
    needs.add_argument("name", nargs="+", help=f"a part: {', '.join(parts.NEEDS)}; another part needs nothing")
    return parser


def _start_in_background(words: Sequence[str]) -> int:
    """Start a process group, which can be ended whole, with its compilers: `kill -- -GROUP`."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "build.log").open("wb") as log:
        command = ["nice", "-n", "10", sys.executable, "-m", "hack.builds", *words]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    return process.pid


if __name__ == "__main__":
    main()
