"""One process of a campaign: `python -m tests.simulation.worker START STOP STEP ENOUGH` prints its tally as JSON."""

import json
import sys
from dataclasses import asdict

from tests.simulation.campaign import live_through

if __name__ == "__main__":
    start, stop, step, enough = (int(word) for word in sys.argv[1:])
    sys.stdout.write(json.dumps(asdict(live_through(range(start, stop, step), enough))))
