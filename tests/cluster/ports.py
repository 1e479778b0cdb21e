"""Chooses a port for a server that must have the same port after its restart."""

import random
import socket

# Below the range from which the kernel takes clients' ports (32768 and up): while the server is down, no client gets
# its port by chance. On loopback a client of the server would then be connected to itself.
RANGE = range(20000, 32000)
# pytest seeds the module's generator again before each test, which would draw the ports of the test before.
_RANDOM = random.SystemRandom()
# A server may be down, or not be up yet.
_given: set[int] = set()


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port without a listener at the moment, that this process was not given before."""
    for port in _RANDOM.sample(sorted(set(RANGE) - _given), k=100):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError(f"no free port at {address} in {RANGE}")
