"""Chooses a port for a server that must have the same port after its restart."""

import random
import socket

# Below the range from which the kernel takes clients' ports (32768 and up): while the server is down, no client gets
# its port by chance. On loopback a client of the server would then be connected to itself. The libvirts of the tests
# have the ports above these (testbed/libvirtd.py).
RANGE = range(20000, 23000)
# pytest seeds the module's generator again before each test, which would draw the ports of the test before.
_RANDOM = random.SystemRandom()
# A server may be down, or not be up yet. An abstract name for each port keeps the other processes away from it, and is
# gone with this process.
_given: list[socket.socket] = []


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port without a listener at the moment, that no process of the tests was given before."""
    for port in _RANDOM.sample(RANGE, k=100):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0vss-port-{port}")
            with socket.socket() as probe:
                probe.bind((address, port))
        except OSError:
            name.close()
            continue
        _given.append(name)
        return port
    raise OSError(f"no free port at {address} in {RANGE}")
