"""`make headroom`: storms and hostile handlers for as long as one likes; ends with a table, and with 1 on a problem.

MINUTES: how long (10). SEED: of a former run, whose plan is repeated.
"""

import os
import secrets
import sys
import time

from tests.hostile.headroom import run as headroom
from tests.hostile.headroom.scene import Scene


def main() -> int:
    minutes = float(os.environ.get("MINUTES") or 10)
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**6))
    _say(f"seed {seed}, {minutes:g} minutes; the same plan again: make headroom SEED={seed} MINUTES={minutes:g}")
    with Scene() as scene:
        began = time.monotonic()
        done = headroom.run(
            scene,
            seed,
            more=lambda _: time.monotonic() < began + minutes * 60,
            log=lambda text: _say(f"{time.monotonic() - began:6.0f} s  {text}"),
        )
    _say("\n" + headroom.table(done))
    _say("\n" + ("\n".join(done.problems) or "no problem"))
    return 1 if done.problems else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
