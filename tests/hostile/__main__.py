"""One attack on sockets or ports, until standard input ends: `python -m tests.hostile rapid-reset SOCKET...`"""

import select
import sys
import time
from pathlib import Path

from tests.hostile.attacks import ATTACKS
from tests.hostile.http_attacks import HTTP_ATTACKS

#: Seconds between two steps: an enemy who has a core to himself is the scheduler's concern.
PAUSE = 0.001


def main(name: str, *targets: str) -> None:
    if name in HTTP_ATTACKS:
        attacks = [HTTP_ATTACKS[name](int(port)) for port in targets]
    else:
        attacks = [ATTACKS[name](Path(socket)) for socket in targets]
    units = 0
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        for attack in attacks:
            units += next(attack)
        time.sleep(PAUSE)
    sys.stdout.write(f"{units}\n")


main(*sys.argv[1:])
