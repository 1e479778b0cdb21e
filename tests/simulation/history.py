"""What happens in one run, as data: made from a seed, printed, replayed, and shrunk."""

from dataclasses import dataclass, field, replace

Value = float | int | bool | str


@dataclass(frozen=True, slots=True)
class Step:
    """This happens at `at` seconds of its epoch; `world.World` has a method for each name."""

    at: float
    name: str
    arguments: tuple[tuple[str, Value], ...] = ()
    #: Its index in its epoch, as it was generated.
    number: int = 0

    def __str__(self) -> str:
        words = " ".join(f"{key}={value}" for key, value in self.arguments)
        return f"{self.at:8.3f} s  {self.name} {words}".rstrip()


@dataclass(frozen=True, slots=True)
class Epoch:
    """Steps, and then rest. `number`: its index in its history, as it was generated."""

    number: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """The properties of a simulated world."""

    #: "auto", "vmi-status" or "companion".
    publisher: str = "auto"
    #: Whether the VMI's schema has the field from the beginning.
    knows_field: bool = True
    #: Whether viewers have an address (TCP) or none (a unix socket, as in KubeVirt).
    tcp: bool = False
    #: Which of `displays.DISPLAYS` the VM has; empty: the usual one.
    display: str = ""
    #: Whether libvirt has another domain, whose lock is held throughout, and the agent has its own domain's name.
    neighbour_locked: bool = False
    #: Whether the agent is given the domain's name, as on a host, where others than KubeVirt's proxy may connect.
    on_host: bool = False
    #: Whether the VM has ports beside its display, and clients of them.
    ports: bool = False
    #: Seconds between two polls of these ports; 0: the handlers do not ask for it.
    poll: float = 0.0
    #: How many clients take the console over from each other at a time, one soon after the other.
    rivals: int = 1
    #: Whether the agent may ask QEMU.
    may_query: bool = True
    #: Other VMIs of the node, whose numbers only rise.
    neighbours: int = 0
    #: Seconds after which the agent, and QEMU, start.
    agent_after: float = 0.0
    boot_after: float = 0.0
    #: Nothing fails: then the exact delays of writes can be checked.
    calm: bool = False

    def __str__(self) -> str:
        return " ".join(f"{name}={getattr(self, name)}" for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class History:
    """Epochs of steps; after each, all faults end, and the world rests for as long as the promises take."""

    seed: int
    setting: Setting = field(default_factory=Setting)
    epochs: tuple[Epoch, ...] = ()

    @property
    def steps(self) -> list[Step]:
        """All of them."""
        return [step for epoch in self.epochs for step in epoch.steps]

    @property
    def choice(self) -> str:
        """The epochs and steps of the generated history that this one has, such as `1:0,3/2:`."""
        return "/".join(f"{epoch.number}:{','.join(str(step.number) for step in epoch.steps)}" for epoch in self.epochs)

    def only(self, choice: str) -> "History":
        """Return a history with these epochs and steps only."""
        wanted = {
            int(number): set(steps.split(",")) for number, _, steps in (e.partition(":") for e in choice.split("/"))
        }
        return replace(
            self,
            epochs=tuple(
                replace(epoch, steps=tuple(step for step in epoch.steps if str(step.number) in wanted[epoch.number]))
                for epoch in self.epochs
                if epoch.number in wanted
            ),
        )

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.setting}"]
        for epoch in self.epochs:
            lines += [*(f"  {step}" for step in epoch.steps), "  ... all faults end, and 10 s pass"]
        return "\n".join(lines)
