"""Chooses a port for a server that must have the same port after its restart."""

import random
import socket

# Below the range from which the kernel takes clients' ports (32768 and up): while the server is down, no client gets
# its port by chance. On loopback a client of the server would then be connected to itself.
RANGE = range(20000, 32000)


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port without a listener at the moment."""
    for port in random.sample(RANGE, k=100):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port at {address} in {RANGE}")
