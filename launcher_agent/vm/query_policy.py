"""Decides whether QEMU must be asked for its clients when a run of the domain begins to be watched. Pure.

QEMU drops its events until libvirt has finished the negotiation with it. A client that connects and completes its
handshake before that causes no event at all, and libvirt cannot be asked for it. QEMU lists such clients, but a
question taints the domain (`custom-monitor`, once per start). So by default a question is asked only where events prove
nothing: where the start was not seen, or where others than KubeVirt's proxy can connect that early. KubeVirt's proxy
connects to the unix socket of a VMI only once it is Running. On a host, other programs and users open such sockets, so
every start of a domain there is asked about. A host is recognized by `--domain`, which a launcher pod does not need.

The socket table of the network namespace was considered as a question without a taint. It cannot prove that no client
is there: the agent cannot know that its namespace is QEMU's.
"""

from enum import Enum
from typing import Final

from launcher_agent.vm.domain_xml import Graphics, Spice


class QueryPolicy(Enum):
    """The values of `--query`."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


#: The domain of whose clients the events prove the most.
_BEST: Final = Graphics(reachable_early=False)


class Start(Enum):
    """What the events prove of a run."""

    #: Every client.
    KNOWN = "known"
    #: Not every client: QEMU is asked.
    ASK = "ask"
    #: Not every client, and QEMU may not be asked: the count is a lower bound.
    LOWER_BOUND = "lower bound"
    #: Not every client, at no time: a server's clients cause no event.
    UNOBSERVABLE = "unobservable"


def start(policy: QueryPolicy, graphics: Graphics | Spice, *, seen: bool, on_host: bool) -> Start:
    """Return what to do about a run.

    `seen`: every event since the end of the run before it was received. `on_host`: the domain is not a launcher pod's.
    """
    if graphics.unobservable:
        return Start.UNOBSERVABLE
    reachable_early = on_host or graphics.reachable_early
    if seen and policy is not QueryPolicy.ALWAYS and not reachable_early:
        return Start.KNOWN
    return Start.LOWER_BOUND if policy is QueryPolicy.NEVER else Start.ASK


def is_doubtful(policy: QueryPolicy, *, seen: bool, on_host: bool) -> bool:
    """Return whether the events do not prove every client of a run, whatever its description will show."""
    return start(policy, _BEST, seen=seen, on_host=on_host) is not Start.KNOWN
