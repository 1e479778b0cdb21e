"""`make simulate` and `make mutants`: any number of histories, one of them again, or the planted bugs."""

import argparse
import os
import sys
from collections.abc import Sequence

from tests.simulation import mutants
from tests.simulation.campaign import PYTHON_HASH_SEED, campaign, report
from tests.simulation.generator import generate
from tests.simulation.run import run


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    options = _parse(arguments)
    if options.mutants is not None:
        return _mutants(options)
    if options.replay is not None:
        return _replay(options)
    stats = campaign(options.seeds, options.first, options.jobs)
    for line in report(stats):
        _say(line)
    return bool(stats.violations)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=2000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--replay", type=int, metavar="SEED", help="this one again")
    parser.add_argument("--only", metavar="CHOICE", help="with --replay: these epochs and steps of it")
    parser.add_argument("--mutants", nargs="*", metavar="NAME", help="plant bugs, all or these, and look for each")
    return parser.parse_args(arguments)


def _replay(options: argparse.Namespace) -> int:
    history = generate(options.replay)
    if options.only is not None:
        history = history.only(options.only)
    found = run(history)
    _say(str(history))
    for violation in found:
        _say(f"  {violation}")
    return bool(found)


def _mutants(options: argparse.Namespace) -> int:
    chosen = [mutant for mutant in mutants.MUTANTS if not options.mutants or mutant.name in options.mutants]
    lost = 0
    _say(f"{'mutant':44}{'promise broken':26}{'histories until then':>20}")
    for mutant in chosen:
        found = mutants.hunt(mutant, options.seeds, options.jobs)
        lost += found is None
        promise, needed = found or ("none", 0)
        _say(f"{mutant.name:44}{promise:26}{needed:20,}")
    return bool(lost)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != PYTHON_HASH_SEED:
        os.environ["PYTHONHASHSEED"] = PYTHON_HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])  # noqa: S606  # itself again
    sys.exit(main(sys.argv[1:]))
