"""`make headroom`: storms and hostile handlers; the variables are those of `tests.hostile.long_run`."""

import sys

from tests.hostile import long_run
from tests.hostile.headroom import run as headroom
from tests.hostile.headroom.scene import Scene

if __name__ == "__main__":
    sys.exit(long_run.main("headroom", lambda _: Scene(), headroom.run, headroom.table))
