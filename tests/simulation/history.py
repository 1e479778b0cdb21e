"""What happens in one run, as data: it is made from a seed, printed, replayed, and cut down to what matters."""

from dataclasses import dataclass, field

Value = float | int | bool | str


@dataclass(frozen=True, slots=True)
class Step:
    """At `at` seconds of its epoch, this happens; see `world.World` for the words."""

    at: float
    name: str
    arguments: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        words = " ".join(f"{key}={value}" for key, value in self.arguments)
        return f"{self.at:8.3f} s  {self.name} {words}".rstrip()


@dataclass(frozen=True, slots=True)
class Setting:
    """How the world is made."""

    #: "auto", "vmi-status" or "companion".
    publisher: str = "auto"
    #: Whether the VMI's schema has the field from the beginning.
    knows_field: bool = True
    #: Whether viewers have an address (TCP) or none (a unix socket, KubeVirt's way).
    tcp: bool = False
    #: Whether the agent may ask QEMU.
    may_query: bool = True
    #: Seconds after which the agent, and QEMU, start.
    agent_after: float = 0.0
    boot_after: float = 0.0
    #: Nothing fails: then the spacing can be checked to the moment.
    calm: bool = False

    def __str__(self) -> str:
        return " ".join(f"{name}={getattr(self, name)}" for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class History:
    """Epochs of steps; after each, all faults end, and the world rests for as long as the promises take."""

    seed: int
    setting: Setting = field(default_factory=Setting)
    epochs: tuple[tuple[Step, ...], ...] = ()

    @property
    def steps(self) -> int:
        """How many there are."""
        return sum(len(epoch) for epoch in self.epochs)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.setting}"]
        for number, epoch in enumerate(self.epochs, 1):
            lines += [f"  epoch {number}", *(f"    {step}" for step in epoch), "    ... all faults end, 10 s pass"]
        return "\n".join(lines)
