"""One attack on the given sockets, until standard input ends: `python -m tests.hostile rapid-reset SOCKET...`"""

import select
import sys
import time
from pathlib import Path

from tests.hostile.attacks import ATTACKS

#: Seconds between two steps: an enemy who has a core to himself is the scheduler's concern.
PAUSE = 0.001


def main(name: str, *sockets: str) -> None:
    attacks = [ATTACKS[name](Path(socket)) for socket in sockets]
    units = 0
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        for attack in attacks:
            units += next(attack)
        time.sleep(PAUSE)
    sys.stdout.write(f"{units}\n")


main(*sys.argv[1:])
