"""`make attack`: attacks in random combinations; the variables are those of `tests.hostile.long_run`."""

import sys

from tests.hostile import long_run
from tests.hostile.combined import run as combined
from tests.hostile.combined.scene import Scene

if __name__ == "__main__":
    sys.exit(long_run.main("attack", Scene, combined.run, combined.table))
