"""One run: rounds of attacks while the honest agents report, and what came of it."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final

from testbed.promises import SHOWN_WITHIN
from tests.hostile.attacks import ATTACKS
from tests.hostile.combined import plan
from tests.hostile.combined.plan import Product, Round
from tests.hostile.combined.scene import HOSTILE, Scene
from tests.hostile.http_attacks import HTTP_ATTACKS
from tests.hostile.stage import Attacker

MIB: Final = 1024**2
#: Bytes of resident memory that the handler stays below.
MEMORY: Final = 128 * MIB


@dataclass
class Run:
    """The plan that was carried out, and the outcome."""

    seed: int
    rounds: list[Round] = field(default_factory=list)
    #: By attack: what the attackers did.
    units: Counter[str] = field(default_factory=Counter)
    #: Bytes: at the start, and the highest of each round.
    start_memory: int = 0
    memory: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    reconnects: int = 0
    log: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def run(scene: Scene, seed: int, more: Callable[[Run], bool], log: Callable[[str], None] = lambda _: None) -> Run:
    """Attack in rounds while `more` returns true. `log` gets a line about each round."""
    done = Run(seed, start_memory=scene.start_memory)
    began = time.monotonic()
    for products in plan.rounds(seed, ATTACKS, HOSTILE, HTTP_ATTACKS):
        done.rounds.append(products)
        _attack(scene, products, done)
        words = ", ".join(map(str, products))
        log(f"round {len(done.rounds)}: {done.memory[-1] / MIB:.0f} MiB  {words}")
        if not scene.handler.running or scene.honest.failed or not more(done):
            break
    scene.honest.quiet()
    done.seconds = time.monotonic() - began
    done.delays = scene.honest.delays()
    done.reconnects = scene.honest.reconnects
    done.log = len(scene.handler.log_text())
    done.problems = list(_problems(scene, done))
    return done


def _attack(scene: Scene, products: Round, done: Run) -> None:
    with contextlib.ExitStack() as stack:
        attackers = [(product, stack.enter_context(_NiceAttacker(scene, product))) for product in products]
        until = time.monotonic() + plan.ROUND
        while time.monotonic() < until and scene.handler.running:
            time.sleep(0.1)
    for product, attacker in attackers:
        done.units[product.attack] += attacker.units
    done.memory.append(scene.peak_memory())


class _NiceAttacker(Attacker):
    """An attacker that leaves the machine's cores to others: its target is the handler, and not the kernel."""

    def __init__(self, scene: Scene, product: Product) -> None:
        sockets = [scene.sockets[number] for number in product.sockets]
        super().__init__(product.attack, sockets or [scene.handler.probe_port, scene.handler.metrics_port])
        self._argv = ["nice", "-n", "10", *self._argv]


def _problems(scene: Scene, done: Run) -> Iterator[str]:
    if not scene.handler.running:
        yield f"the handler has ended with {scene.handler.returncode}; its log ends:\n{scene.handler.log_tail()}"
    if max(done.memory) >= MEMORY:
        yield f"the handler had {max(done.memory) / MIB:.0f} MiB; less than {MEMORY // MIB} are allowed"
    late = [delay for delay in done.delays if delay > SHOWN_WITHIN]
    if late:
        yield f"{len(late)} honest values were later than {SHOWN_WITHIN:g} s, the last one {max(late):.1f} s"
    for name, shown in scene.honest.false_idles():
        yield f"{name} was shown without a viewer at {shown.at:.3f}, and had one"
    if scene.honest.failed:
        yield "the honest agents have stopped: the run proves nothing"
    for name in {product.attack for products in done.rounds for product in products}:
        if not done.units[name]:
            yield f"{name} did nothing: the run does not prove anything about it"


def table(done: Run) -> str:
    """Return the attacks, with how often each was used, and the figures of the run."""
    used: Counter[str] = Counter()
    sockets: Counter[str] = Counter()
    memory: dict[str, int] = {}
    for products, most in zip(done.rounds, done.memory, strict=True):
        for product in products:
            used[product.attack] += 1
            sockets[product.attack] += len(product.sockets)
            memory[product.attack] = max(most, memory.get(product.attack, 0))
    middle, late = quantiles(done.delays, n=100, method="inclusive")[49::49] if len(done.delays) > 1 else (0.0, 0.0)
    return "\n".join([
        f"{'attack':32}{'rounds':>8}{'sockets':>9}{'units':>12}{'MiB at most':>13}",
        *(
            f"{name:32}{used[name]:8}{sockets[name]:9}{done.units[name]:12}{memory[name] / MIB:13.0f}"
            for name in sorted(used)
        ),
        "",
        f"seed {done.seed}, {done.seconds:.0f} s, {len(done.rounds)} rounds",
        f"{'memory at the start':32}{done.start_memory / MIB:8.0f} MiB",
        f"{'memory at most':32}{max(done.memory) / MIB:8.0f} MiB",
        f"{'honest values':32}{len(done.delays):8}",
        f"{'delay: median':32}{middle:8.2f} s",
        f"{'delay: 99 %':32}{late:8.2f} s",
        f"{'delay: longest':32}{max(done.delays):8.2f} s",
        f"{'streams opened again':32}{done.reconnects:8}",
        f"{'log':32}{done.log / 1024:8.0f} KiB",
    ])  # fmt: skip
