"""Runs `python -m bench` with the flags below: prints one table, and stores it as JSON and as pictures."""

import argparse
import datetime
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench import boot, connect, handler, pictures, results, scale, sidecar, storm
from bench.results import Row
from bench.stage import Stage, stage
from tests.cluster.tools import REPOSITORY

MEASURES: Final[Mapping[str, Callable[[Stage], list[Row]]]] = {
    "connect": connect.measure,
    "storm": storm.measure,
    "sidecar": sidecar.measure,
    "handler": handler.measure,
    "boot": boot.measure,
    "scale": scale.measure,
}
LATEST: Final = REPOSITORY / "bench/results/latest.json"
PAGE: Final = REPOSITORY / "docs/performance.md"
PICTURES: Final = REPOSITORY / "docs/performance"
#: The results of a run are written between these two lines.
BEGIN: Final = "<!-- written by make bench -->\n"
END: Final = "<!-- end -->\n"


def main() -> None:
    """Run all measures, or those that --only names."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="repeatable; results are not stored")
    parser.add_argument(
        "--quick", action="store_true", help="a few small rounds, to check that it works; results are not stored"
    )
    parser.add_argument(
        "--against",
        metavar="REVISION",
        default="",
        help="measure this revision of git too, in the same run",
    )
    options = parser.parse_args()
    chosen = options.only or list(MEASURES)
    begin, when = time.monotonic(), datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="vss-bench-", dir="/tmp") as folder,
        stage(Path(folder), quick=options.quick, against=options.against) as made,
    ):
        for name in chosen:
            began = time.monotonic()
            rows += MEASURES[name](made)
            _say(f"{name}: {time.monotonic() - began:.0f} s")
    seconds = time.monotonic() - begin
    print(results.table(rows))
    if not options.quick and not options.only:
        results.write(LATEST, rows, seconds, when)
        _show(rows, f"{when}, {seconds / 60:.0f} minutes")
    _say(f"measured in {seconds:.0f} s")


def _show(rows: list[Row], when: str) -> None:
    """Write the results into the docs."""
    value = "\n".join(f"![{picture.title}](performance/{picture.file})" for picture in pictures.draw(PICTURES, rows))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    machine = results.machine()
    about = f"{when}, {machine['cores']} cores of {machine['cpu']}, Linux {machine['kernel']}.\n\n"
    PAGE.write_text(f"{before}{BEGIN}{about}{results.markdown(rows)}\n\n{value}\n{END}{after}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
