"""Makes a history from a seed: mostly viewers that come and go, with faults of all kinds in between, in crowds."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Final

from tests.simulation.apiserver import Fate
from tests.simulation.displays import DISPLAYS
from tests.simulation.history import Epoch, History, Setting, Step, Value
from tests.simulation.ports import MOST_TAKEOVERS

Arguments = Mapping[str, Value]
Maker = Callable[[Random], Arguments]


def _pause(rng: Random, *choices: float) -> float:
    """Return one of these lengths, varied a little."""
    return round(rng.choice(choices) * rng.uniform(0.8, 1.2), 3)


def _connect(rng: Random) -> Arguments:
    return {"finish": rng.choice([0.001, 0.001, 0.002, _pause(rng, 0.1, 0.3, 1.0), -1.0])}


def _leave(rng: Random) -> Arguments:
    return {"who": rng.randrange(8), "notice": _pause(rng, 0.02, 0.03, 0.1, 0.2, 1.0, 2.5)}


def _takeover(rng: Random) -> Arguments:
    early = rng.random() < 0.75
    return {
        "early": early,
        "notice": _pause(rng, 0.0005, 0.02) if early else _pause(rng, 0.03, 0.08),
        "finish": _pause(rng, 0.002, 0.1, 0.28) if early else 0.002,
    }


def _migrate(rng: Random) -> Arguments:
    return {
        "succeeds": rng.random() < 0.75,
        "cut": _pause(rng, 0.05, 0.08, 0.2),
        "flip": _pause(rng, 0.09, 0.2),
        "redial": rng.choice([_pause(rng, 0.2, 0.45, 0.9), -1.0]),
        "stopped": _pause(rng, 0.3, 0.4),
    }


def _seconds(*choices: float) -> Maker:
    return lambda rng: {"seconds": _pause(rng, *choices)}


def _nothing(_: Random) -> Arguments:
    return {}


_VIEWERS: Final[Mapping[str, tuple[float, Maker]]] = {
    "connect": (6, _connect),
    "leave": (5, _leave),
    "takeover": (3, _takeover),
    "crowd": (0.5, lambda rng: {"count": rng.randint(3, 12), "apart": rng.choice([0.001, 0.02, 0.2])}),
}
#: Clients of USB slots and of the console, which no event reports. One history in so many is mostly about them.
_PORTS: Final[Mapping[str, tuple[float, Maker]]] = {
    "device_plug": (5, lambda rng: {"slot": rng.randrange(4), "attaches": rng.random() < 0.8}),
    "device_unplug": (4, lambda rng: {"slot": rng.randrange(4), "stays": rng.random() < 0.3}),
    "console_open": (4, _nothing),
    "console_takeover": (5, lambda rng: {"gap": rng.choice([0.0005, 0.03, 0.06]), "times": rng.choice([1, 20])}),
    "console_close": (2, _nothing),
    "connect": (2, _connect),
    "leave": (1, _leave),
}
#: A history that polls costs twice as much as another one.
_PORTS_SEED: Final = 4
#: Clients that stay: a number that falls is wrong then. Two of three such histories are about them, one of them calm.
_STAYING: Final = {
    name: _PORTS[name] for name in ("device_plug", "console_open", "console_takeover", "connect", "leave")
}
_STAYING_KINDS: Final = ("agent_kill", "agent_stop", "handler_kill", "libvirt_hang", "libvirt_restart", "query_refused")
#: One of so many is about several clients that take the console over from each other at the pace of the agent's
#: questions, some of which are the first ones of a new agent or of a new connection to libvirt.
_RIVALS: Final = 4
_RIVALS_SEED: Final = 1
_RIVALRY: Final = {name: _PORTS[name] for name in ("console_open", "console_takeover")}
_RIVALRY_KINDS: Final = ("agent_kill", "libvirt_restart")
#: What may fail, how often, and how.
FAULTS: Final[Mapping[str, tuple[float, Maker]]] = {
    "vm_restart": (0.5, _seconds(0.05, 1.0)),
    "vm_restart_early": (0.5, _seconds(0.05, 1.0)),
    "vm_end": (0.4, lambda rng: {"goodbye": rng.random() < 0.5, "seconds": _pause(rng, 0.1, 1.0)}),
    "vm_new": (0.7, _seconds(0.05, 1.0, 3.0)),
    "vm_swap": (0.4, _seconds(0.02, 0.1)),
    "libvirt_restart": (1, _seconds(0.1, 1.0, 3.0)),
    "libvirt_hang": (0.6, _seconds(0.5, 5.0, 12.0)),
    "libvirt_locked": (0.5, _seconds(1.0, 11.0, 15.0)),
    "libvirt_slow": (0.4, _seconds(1.0, 5.0)),
    "query_refused": (0.5, _seconds(1.0, 5.0)),
    "agent_kill": (1.2, lambda rng: {"half_open": rng.random() < 0.5, "seconds": _pause(rng, 0.05, 1.0, 5.0, 20.0)}),
    "agent_zombie": (0.5, _seconds(0.5, 1.5)),
    "agent_stop": (0.5, _seconds(0.05, 1.0, 20.0)),
    "wire_cut": (1, lambda rng: {"handler_after": rng.choice([0.0, 0.0, 0.5, 7.0])}),
    "wire_stall": (
        1.2,
        lambda rng: {
            "way": rng.choice(["up", "down", "both"]),
            "seconds": _pause(rng, 0.3, 2.0, 6.0, 12.0),
        },
    ),
    "wire_lose": (0.5, lambda rng: {"way": rng.choice(["up", "up", "down"]), "count": rng.randint(1, 3)}),
    "wire_double": (0.5, lambda rng: {"way": rng.choice(["up", "up", "down"]), "count": rng.randint(1, 3)}),
    "handler_kill": (1, lambda rng: {"node": rng.randrange(2), "seconds": _pause(rng, 0.2, 2.0, 20.0)}),
    "handler_stop": (0.6, lambda rng: {"node": rng.randrange(2), "seconds": _pause(rng, 0.2, 2.0)}),
    "api_down": (0.8, _seconds(0.2, 2.0, 20.0, 50.0)),
    "api_fates": (1.2, lambda rng: {"fate": rng.choice(list(Fate)).name, "count": rng.randint(1, 3)}),
    "api_refuses": (
        0.6,
        lambda rng: {"fate": rng.choice(["FAILED", "FORBIDDEN", "CONFLICT"]), "seconds": _pause(rng, 1.0, 5.0, 30.0)},
    ),
    "api_slow": (0.5, _seconds(1.0, 5.0)),
    "api_reverts": (0.5, _seconds(0.5, 3.0)),
    "api_schema": (0.4, lambda rng: {"knows": rng.random() < 0.6}),
    "watch_gap": (0.8, lambda rng: {"forget": rng.random() < 0.6}),
    "watch_lag": (0.6, lambda rng: {"lag": _pause(rng, 0.2, 2.0), "seconds": _pause(rng, 2.0, 8.0)}),
    "foreign_erase": (0.8, _nothing),
    "foreign_touch": (0.6, _nothing),
    "companion_lost": (0.4, _nothing),
    "migrate": (0.9, _migrate),
}


#: A VMI that migrates, or is replaced, under a handler whose watches are late: two rare events at once, which chance
#: alone rarely combines. One history in so many is about them.
_OUT_OF_DATE: Final = ("api_slow", "migrate", "vm_new", "vm_swap", "watch_lag")
_SOME: Final = 8
#: What no event reports: a viewer before libvirt is ready, and a held lock. One history in so many is about them.
_UNREPORTED: Final = ("libvirt_locked", "vm_restart_early")
_UNREPORTED_SEED: Final = 3
#: VNC servers other than the usual ones, and a held lock of another domain. One history in so many is about them.
_DISPLAYS: Final = tuple(name for name in DISPLAYS if name not in {"socket", "address"})
_DISPLAY_SEED: Final = 5
_DISPLAY_KINDS: Final = ("agent_kill", "libvirt_restart", "vm_restart")
#: Other VMIs of the node, which use up its writes. One history in so many has them: it costs as much as forty others.
_NEIGHBOURS: Final = 45
_CROWDED: Final = 200
_CROWDED_SEED: Final = 42
#: No fault keeps writes from the API server: then the bucket alone decides what is late.
_CROWDED_KINDS: Final = ("agent_kill", "libvirt_restart", "vm_restart")
#: Viewers that stay, so that a restarted agent has to ask for them, and share an address.
_TWINS: Final[Mapping[str, tuple[float, Maker]]] = {
    "connect": (5, _connect),
    "leave": (2, _leave),
    "twin": (5, lambda rng: {"who": rng.randrange(8), **_connect(rng)}),
}


def generate(seed: int) -> History:
    """Return the history of a seed."""
    rng = Random(seed)  # noqa: S311  # chance that can be repeated
    calm = rng.random() < 0.12
    setting = Setting(
        publisher=rng.choice(["auto", "auto", "vmi-status", "companion"]),
        knows_field=calm or rng.random() < 0.85,
        tcp=rng.random() < 0.25 or seed % _SOME == _UNREPORTED_SEED,
        may_query=calm or rng.random() < 0.88,
        agent_after=rng.choice([0.0, 0.0, 0.3, 2.0]),
        boot_after=rng.choice([0.0, 0.0, 0.5, 3.0]),
        calm=calm,
    )
    # Few kinds of fault at a time, but often: repeated faults find more than one of each kind.
    kinds = (
        ["migrate"]
        if calm
        else rng.sample(sorted(FAULTS.keys() - {"vm_swap", *_UNREPORTED}), k=rng.choice([1, 2, 3, 4, 6]))
    )
    if seed % _SOME == _SOME - 1 and not calm:
        kinds = list(_OUT_OF_DATE)
    if seed % _SOME == _UNREPORTED_SEED and not calm:
        kinds = list(_UNREPORTED)
        on_host = seed // _SOME % 2 == 1
        setting = replace(setting, tcp=not on_host, on_host=on_host)
    viewers = _VIEWERS
    if seed % _SOME == _DISPLAY_SEED and not calm:
        display = _DISPLAYS[seed // _SOME % len(_DISPLAYS)]
        setting = replace(setting, tcp=True, display=display, neighbour_locked=rng.random() < 0.5)
        kinds = list(_DISPLAY_KINDS)
        if DISPLAYS[display].clients_share:
            viewers = _TWINS
    if seed % _SOME == _PORTS_SEED:
        setting = replace(setting, ports=True, poll=rng.choice([0.0, 1.0, 2.0, 2.0]))
        viewers = _PORTS
        if seed // _SOME % 3:
            setting, viewers, kinds = _staying(seed, setting)
    if seed % _CROWDED == _CROWDED_SEED:
        setting = replace(setting, publisher="companion", neighbours=_NEIGHBOURS, calm=False)
        kinds = list(_CROWDED_KINDS)
    epochs = tuple(Epoch(number, _steps(rng, viewers, kinds)) for number in range(1, rng.choice([1, 1, 2]) + 1))
    return History(seed, setting, epochs)


def _staying(seed: int, setting: Setting) -> tuple[Setting, Mapping[str, tuple[float, Maker]], list[str]]:
    viewers, kinds = _STAYING, list(_STAYING_KINDS)
    if seed // _SOME % _RIVALS == _RIVALS_SEED:
        setting = replace(setting, rivals=MOST_TAKEOVERS, may_query=True, poll=2.0)
        viewers, kinds = _RIVALRY, list(_RIVALRY_KINDS)
    if seed // _SOME % 3 == 2:
        calm = replace(setting, calm=True, knows_field=True, may_query=True, poll=2.0)
        return calm, viewers, ["foreign_touch"]
    return replace(setting, calm=False), viewers, kinds


def _steps(rng: Random, viewers: Mapping[str, tuple[float, Maker]], kinds: list[str]) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0.0
    pace = rng.choice([(0.001, 0.05), (0.02, 0.3, 1.0), (0.3, 1.2, 4.0), (0.05, 1.0, 16.0)])
    erasures = 0
    for _ in range(rng.randint(3, 14)):
        at = round(at + _pause(rng, *pace), 3)
        name, make = _choose(rng, viewers, kinds)
        if name in {"foreign_erase", "companion_lost"}:
            erasures += 1
            if erasures > 2:  # the handler rewrites more of them rarely, on purpose
                continue
        steps.append(Step(at, name, tuple(make(rng).items()), len(steps)))
    return tuple(steps)


def _choose(rng: Random, viewers: Mapping[str, tuple[float, Maker]], kinds: list[str]) -> tuple[str, Maker]:
    table = viewers if rng.random() < 0.6 else {kind: FAULTS[kind] for kind in kinds}
    name = rng.choices(list(table), [weight for weight, _ in table.values()])[0]
    return name, table[name][1]
