"""One process of a campaign: `python -m tests.simulation.worker START STOP STEP ENOUGH` prints its stats as JSON."""

import json
import sys
from dataclasses import asdict

from tests.simulation.campaign import live_through

if __name__ == "__main__":
    start, stop, step, enough = (int(word) for word in sys.argv[1:])
    # A caller that looks for a single failure gets it as the result.
    output = sys.stderr if enough > 1 else None
    sys.stdout.write(json.dumps(asdict(live_through(range(start, stop, step), enough, output))))
