"""What is on the record of a run: what was so (viewers), what was done to it (faults), what was shown (looks, acks).

Pure data. Times are seconds of `time.monotonic()`. What cannot be known to the millisecond is an interval: a viewer
in the middle of its handshake may be a session already, or not yet.
"""

import math
from dataclasses import dataclass, field
from enum import Enum

FOREVER = math.inf


class Target(Enum):
    """What a fault hits."""

    AGENT = "agent"
    HANDLER = "handler"
    LIBVIRTD = "libvirtd"
    QEMU = "QEMU"
    APISERVER = "kube-apiserver"
    ETCD = "etcd"


class Kind(Enum):
    """What is done to it."""

    KILL = "SIGKILL"
    FREEZE = "SIGSTOP"
    RESTART = "restart"


@dataclass(frozen=True)
class Session:
    """A viewer: it may count from `may_begin` on and does from `must_begin` on, until it leaves at `end`.

    `must_begin` is FOREVER for one that never finished its handshake.
    """

    may_begin: float
    must_begin: float
    end: float = FOREVER


@dataclass(frozen=True)
class Fault:
    """Something was away, or stood still, from `begin` until `end`. `machine` is empty where it hits all VMs."""

    target: Target
    kind: Kind
    begin: float
    end: float
    machine: str = ""

    def __str__(self) -> str:
        what = f"{self.target.value} of {self.machine}" if self.machine else self.target.value
        return f"{self.kind.value:7} {what}"


@dataclass(frozen=True)
class Look:
    """The same answer of the API server, from the first time that it was seen until the last.

    The first question was `asked`, and answered at `first`; the last one was asked at `last`. So the object had this
    version at the latest from `first` on, and until `last` at least; `last` is before `first` where it was seen once.
    `sessions` is the number shown, 0 where it is absent; `version` the resourceVersion. The rest is the companion's.
    """

    asked: float
    first: float
    last: float
    sessions: int
    version: int
    idle: str = ""
    observed: bool = True
    reason: str = ""

    def __str__(self) -> str:
        told = f", Idle {self.idle}, {self.reason}" if self.idle else ""
        return f"{self.sessions}{told}"


@dataclass(frozen=True)
class Ack:
    """At `at` the handler had said to an agent that the number which it had said at `said` is published."""

    said: float
    at: float
    sessions: int


@dataclass
class History:
    """One VM. `vmi` is what the VMI's own status showed, `companion` what the companion did."""

    name: str
    sessions: list[Session] = field(default_factory=list)
    vmi: list[Look] = field(default_factory=list)
    companion: list[Look] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)

    @property
    def places(self) -> dict[str, list[Look]]:
        return {"VMI": self.vmi, "vmiss": self.companion}


@dataclass
class Record:
    """A whole run. `lease` in seconds, as the handler was told."""

    began: float
    ended: float
    lease: float
    faults: list[Fault] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    samples: int = 0
    #: What the handler (by its own name) and the agents (by that of their VM) wrote into their logs, and when.
    logs: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
