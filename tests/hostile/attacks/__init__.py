"""What a compromised launcher pod can do with its socket, one attack a function, by the layer that it abuses.

An attack is an iterator: each step does a little and says how many of its units it did, so that one process can attack
several sockets by turns. None of them ever ends by itself.
"""

from tests.hostile.attacks import calls, churn, connections, frames, protocol
from tests.hostile.attacks.registry import ATTACKS

__all__ = ["ATTACKS", "calls", "churn", "connections", "frames", "protocol"]
