"""The record of a run: what was true (viewers), what was done (faults), what was shown (looks, acks).

Pure data. Times are seconds of `time.monotonic()`. A time that is not known to the millisecond is an interval: a viewer
in the middle of its handshake may count as a session or not.
"""

import math
from dataclasses import dataclass, field
from enum import Enum

FOREVER = math.inf


class Target(Enum):
    """The program that a fault hits."""

    AGENT = "agent"
    HANDLER = "handler"
    LIBVIRTD = "libvirtd"
    QEMU = "QEMU"
    APISERVER = "kube-apiserver"
    ETCD = "etcd"


class Kind(Enum):
    """What a fault does to its target."""

    KILL = "SIGKILL"
    FREEZE = "SIGSTOP"
    RESTART = "restart"


@dataclass(frozen=True)
class Session:
    """A viewer: it may count from `may_begin` on and must count from `must_begin` on, until it leaves at `end`.

    `must_begin` is FOREVER for a viewer that never finished its handshake.
    """

    may_begin: float
    must_begin: float
    end: float = FOREVER


@dataclass(frozen=True)
class Fault:
    """A target was down or frozen from `begin` until `end`. `machine` is empty if it affects all VMs."""

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
    """The same response of the API server, from the first sample until the last.

    The first request was sent at `asked` and answered at `first`; the last request was sent at `last`. So the object
    had this version from `first` on at the latest, and at least until `last`; `last` is before `first` if it was seen
    once. `sessions` is the number shown, 0 if it is absent; `version` is the resourceVersion. The rest is the
    companion's.
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
        conditions = f", Idle {self.idle}, {self.reason}" if self.idle else ""
        return f"{self.sessions}{conditions}"


@dataclass(frozen=True)
class Ack:
    """At `at` the handler acknowledged as published the number that the agent had reported at `said`."""

    said: float
    at: float
    sessions: int


@dataclass
class History:
    """One VM. `vmi` is what the VMI's own status showed, `companion` what the companion showed."""

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
    """A whole run. `lease` is the handler's, in seconds."""

    began: float
    ended: float
    lease: float
    faults: list[Fault] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    samples: int = 0
    #: The log lines of the handler (by its own name) and of the agents (by the name of their VM), with their times.
    logs: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
