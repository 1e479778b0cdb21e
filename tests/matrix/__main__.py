"""Tries the project on other releases of KubeVirt and Kubernetes than `make test` does: `python -m tests.matrix`.

Each pair is built and started, and a few tests run on it. The tables are printed, and written into docs/kubevirt.md.
The status is 0 if all pairs could be built and no test failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.tools import REPOSITORY
from tests.matrix.pairs import COLUMNS, PAIRS, POLICY, SERVER_COLUMNS, SERVERS, Pair
from tests.matrix.table import UNTRIED, read, render, written

PAGE = REPOSITORY / "docs/kubevirt.md"
TABLES = (("matrix", COLUMNS, PAIRS), ("servers", SERVER_COLUMNS, SERVERS))
# A fixture that hangs while it ends has no other limit. A pair takes 10 minutes when the machine is busy.
TIMEOUT = 2400
SHOWN, FAILED, UNBUILT = "shown", "FAILED", "not tried: it could not be built"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "pair", nargs="*", help="1.9.0x1.34.9 (KubeVirt and Kubernetes), or 1.30.14 (an API server alone); else all"
    )
    chosen = set(parser.parse_args().pair)
    known = {_name(pair) for _, _, pairs in TABLES for pair in pairs}
    if not chosen <= known:
        parser.error(f"there is no pair {', '.join(sorted(chosen - known))}; there are: {', '.join(sorted(known))}")
    failed = False
    for name, columns, pairs in TABLES:
        for pair in pairs:
            if chosen and _name(pair) not in chosen:
                continue
            cells = _try(pair, columns)
            failed |= FAILED in cells or UNBUILT in cells
            PAGE.write_text(written(PAGE.read_text(), name, list(columns), pairs, {pair: cells}))
    for name, columns, _ in TABLES:
        sys.stdout.write(f"\n{render(list(columns), read(PAGE.read_text(), name))}\n")
    return int(failed)


def _name(pair: Pair) -> str:
    return f"{pair.kubevirt}x{pair.kubernetes}" if pair.kubevirt else pair.kubernetes


def _try(pair: Pair, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Its cells."""
    sys.stdout.write(f"\n=== {_name(pair)}\n")
    sys.stdout.flush()
    environment = {**os.environ, "KUBEVIRT": pair.kubevirt, "KUBERNETES": pair.kubernetes}
    part = "kubevirt" if pair.kubevirt else "apiserver"
    built = subprocess.run([sys.executable, "-m", "hack.builds", "parts", part], env=environment, check=False)
    if built.returncode:
        # Of some releases the module proxy lacks a module.
        return [UNBUILT, *[UNTRIED] * (len(columns) - 1)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        tests = [test for chosen in columns.values() for test in chosen]
        limited = ["timeout", "--foreground", "--kill-after=60", "--signal=INT", str(TIMEOUT)]
        command = [*limited, sys.executable, "-m", "pytest", *tests, f"--junitxml={report}"]
        subprocess.run(command, env=environment, cwd=REPOSITORY, check=False)
        results = _results(report)
    return [_cell(pair, column, chosen, results) for column, chosen in columns.items()]


def _results(report: Path) -> dict[str, bool]:
    """Whether each test passed, by the beginning of its name as pytest takes it; a fixture's failure is its tests'."""
    results: dict[str, bool] = {}
    if not report.exists():  # pytest was ended
        return results
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by the pytest that was started above
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '')}"
        bad = any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
        results[name] = results.get(name, True) and not bad
    return results


def _cell(pair: Pair, column: str, tests: Sequence[str], results: Mapping[str, bool]) -> str:
    """A column is shown if there are results for each of its tests, and all are good."""
    for test in tests:
        found = [passed for name, passed in results.items() if name.startswith(test)]
        if not found or not all(found):
            return FAILED
    return f"{SHOWN}: {pair.policy}" if column == POLICY else SHOWN


if __name__ == "__main__":
    sys.exit(main())
