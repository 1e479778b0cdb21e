"""Says when to dial again after a stream has ended, as data: each status with its pause and the reason for it.

`servicestatus.backoff` computes the pauses, all of which have full jitter.
"""

from collections.abc import Mapping
from typing import Final

from servicestatus.backoff import Policy

#: A handler that is upgraded or restarted is back within two seconds, and all its values must be right three seconds
#: after that. While no handler is there, 250 agents that dial every 1.5 s on average make 170 attempts a second on a
#: node. The handler itself sees only the last attempt of each.
_SOON: Final = Policy(first=0.1, cap=3.0, why="the handler is away and expected back")
#: The handler runs and limits its load.
_LATER: Final = Policy(first=0.1, cap=30.0, why="the handler refuses the stream to limit its load")
#: Another agent's stream superseded this one, or this one is about to supersede it. The two must not alternate in a
#: loop.
_CONTESTED: Final = Policy(first=5.0, cap=30.0, floor=1.0, why="another agent is on the same socket")
#: A retry succeeds only after a change of the installation, such as an upgrade of the handler. Running pods are not
#: restarted for that, so the agent retries once a minute, which costs a few microseconds.
_RARELY: Final = Policy(first=60.0, cap=60.0, floor=30.0, why="only a change of the installation helps")

POLICIES: Final[Mapping[str, Policy]] = {
    "OK": _SOON,  # the handler ended the stream in order; rule 9
    "UNAVAILABLE": _SOON,
    "CANCELLED": _SOON,  # the handler died in the middle of a message
    "INTERNAL": _SOON,  # gRPC's status of a write into a stream that has just ended, for any reason
    "DEADLINE_EXCEEDED": _SOON,  # the handler hangs; waiting for it was a pause already
    "UNKNOWN": _LATER,  # a bug of the handler, which retries must not turn into load
    "RESOURCE_EXHAUSTED": _LATER,
    "ABORTED": _CONTESTED,
    "PERMISSION_DENIED": _RARELY,
    "INVALID_ARGUMENT": _RARELY,
    "UNIMPLEMENTED": _RARELY,
}


def policy(status: str) -> Policy:
    """Return the policy of a gRPC status; a status without a row has the policy of a handler that limits its load."""
    return POLICIES.get(status, _LATER)


def needs_intervention(status: str) -> bool:
    """Return whether a retry succeeds only after a change of the installation, which deserves a warning."""
    return policy(status) is _RARELY
