"""`make chaos` and `make soak`, for any duration. Each prints a table, and exits with 1 if a check failed.

MINUTES: duration of the faults (30), or of a soak in real time (without it: an hour's churn, without pauses).
SEED: that of a former run, to repeat its schedule.
"""

import os
import secrets
import sys
import time

from tests.faults import chaos, report, soak
from tests.faults.crowd import Crowd
from tests.faults.stand import Stand


def main() -> int:
    return {"chaos": _chaos, "soak": _soak}[sys.argv[1]](float(os.environ.get("MINUTES") or 0))


def _chaos(minutes: float) -> int:
    minutes = minutes or 30.0
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**6))
    began = time.monotonic()
    _say(f"seed {seed}, {minutes:g} minutes; the same schedule again: make chaos SEED={seed} MINUTES={minutes:g}")
    with Stand(chaos.MACHINES) as stand:
        until = time.monotonic() + minutes * 60
        run = chaos.run(
            stand,
            seed,
            more=lambda _: time.monotonic() < until,
            progress=lambda text: _say(f"{time.monotonic() - began:6.0f} s  {text}"),
        )
    _say("\n" + (report.failure(run) if run.violations else report.table(run)))
    return 1 if run.violations else 0


def _soak(minutes: float) -> int:
    with Crowd(soak.AGENTS) as crowd:
        _say(f"{soak.AGENTS} agents are connected; " + (f"{minutes:g} minutes" if minutes else "an hour's churn"))
        done = soak.in_real_time(crowd, minutes * 60) if minutes else soak.accelerated(crowd, hours=1.0)
        _say(soak.table(done))
        crowd.wait_right()
    wrong = soak.leaks(done)
    _say("\n".join(wrong) or "nothing grows")
    return 1 if wrong else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
