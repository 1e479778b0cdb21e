"""Says when to dial again after a stream has ended, as data: each status with its pause and the reason for it.

`servicestatus.backoff` computes the pauses, all of which have full jitter.
"""

from collections.abc import Mapping
from typing import Final

from servicestatus.backoff import Policy

#: A handler that is upgraded or restarted is back within two seconds, and all its values must be right three seconds
#: after that. 250 agents that dial on average every 1.5 s cost a node 170 dials a second while no handler is there, and
#: a handler nothing more than their last one.
_SOON: Final = Policy(first=0.1, cap=3.0, why="the handler is gone and will be back")
#: The handler is there and defends itself: do not press.
_LATER: Final = Policy(first=0.1, cap=30.0, why="the handler is there and has reason to refuse")
#: Another agent has taken our place, or we are about to take its: two must not throw each other out in a loop.
_CONTESTED: Final = Policy(first=5.0, cap=30.0, floor=1.0, why="another agent is on the same socket")
#: Trying again cannot help before somebody changes something, but the handler may be upgraded under us, and a pod is
#: not restarted for that. So once a minute, for a few microseconds.
_RARELY: Final = Policy(first=60.0, cap=60.0, floor=30.0, why="it will not work until something is changed")

POLICIES: Final[Mapping[str, Policy]] = {
    "OK": _SOON,  # the handler ended the stream in order; rule 9
    "UNAVAILABLE": _SOON,
    "CANCELLED": _SOON,  # what a handler's death in the middle of a message looks like
    "INTERNAL": _SOON,  # what gRPC makes of a write into a stream that has just ended, whatever ended it
    "DEADLINE_EXCEEDED": _SOON,  # it is frozen; the wait for it was a pause of its own
    "UNKNOWN": _LATER,  # a handler's bug, which an agent must not turn into load
    "RESOURCE_EXHAUSTED": _LATER,
    "ABORTED": _CONTESTED,
    "PERMISSION_DENIED": _RARELY,
    "INVALID_ARGUMENT": _RARELY,
    "UNIMPLEMENTED": _RARELY,
}


def policy(status: str) -> Policy:
    """The policy of a gRPC status; one that no row names is treated with care."""
    return POLICIES.get(status, _LATER)


def needs_intervention(status: str) -> bool:
    """Whether trying again cannot help by itself, so that it is worth a warning."""
    return policy(status) is _RARELY
