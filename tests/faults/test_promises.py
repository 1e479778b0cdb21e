"""The checker itself: the record of a good run keeps all promises, and a planted violation is found by its name."""

import dataclasses
from collections.abc import Callable

import pytest

from tests.faults.promises import Promise, violations
from tests.faults.record import FOREVER, Ack, Fault, History, Kind, Look, Record, Session, Target

LEASE = 3.0


def shown(*runs: tuple[float, int], until: float = 100.0, **fields: object) -> list[Look]:
    """Return looks without a gap; each run begins at the time from which a number was shown."""
    ends = [*(at for at, _ in runs[1:]), until]
    return [
        dataclasses.replace(Look(at - 0.01, at, end - 0.01, sessions, version), **fields)  # type: ignore[arg-type]
        for version, ((at, sessions), end) in enumerate(zip(runs, ends, strict=True), 1)
    ]


def companion_shown(*runs: tuple[float, int, str], until: float = 100.0) -> list[Look]:
    """Return the same looks of a companion; `Unknown` is not observed."""
    looks = shown(*((at, sessions) for at, sessions, _ in runs), until=until)
    return [
        dataclasses.replace(look, idle=idle, observed=idle != "Unknown", reason="Watching")
        for look, (_, _, idle) in zip(looks, runs, strict=True)
    ]


def good() -> Record:
    """A viewer from 10 s to 40 s, a second one from 20 s to 30 s; the agent is killed at 60 s."""
    vm = History(
        "vm",
        sessions=[Session(10.0, 10.1, 40.0), Session(20.0, 20.1, 30.0)],
        vmi=shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1), (41.2, 0)),
        companion=companion_shown(
            (0.0, 0, "True"), (10.2, 1, "False"), (20.5, 2, "False"), (31.1, 1, "False"), (41.2, 0, "True"),
            (64.0, 0, "Unknown"), (71.0, 0, "True"),
        ),
        acks=[Ack(10.1, 10.25, 1), Ack(20.2, 20.55, 2)],
    )  # fmt: skip
    return Record(0.0, 100.0, LEASE, faults=[Fault(Target.AGENT, Kind.KILL, 60.0, 70.0, "vm")], histories=[vm])


Plant = Callable[[Record], None]


def _vm(record: Record) -> History:
    return record.histories[0]


def _found(record: Record) -> list[tuple[Promise, float]]:
    return [(violation.promise, round(violation.at, 1)) for violation in violations(record)]


def test_a_good_record_keeps_all_promises() -> None:
    """Each promise is exercised: there is quiet, unknown, an ack, and more than one write."""
    assert _found(good()) == []


# --- planted ----------------------------------------------------------------------------------------------------------


def a_number_that_never_was(record: Record) -> None:
    """Three, although there were at most two."""
    _vm(record).vmi[2] = dataclasses.replace(_vm(record).vmi[2], sessions=3)


def a_state_from_before(record: Record) -> None:
    """One again after zero, long after both viewers had left."""
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1), (41.2, 0), (53.0, 1), (54.5, 0))


def a_ghost(record: Record) -> None:
    """The viewer has left, and is shown without end."""
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1))


def a_viewer_that_is_never_shown(record: Record) -> None:
    """It connects at 80 s, and no number shows it."""
    _vm(record).sessions.append(Session(80.0, 80.1))


def unknown_without_end(record: Record) -> None:
    """The agent is back, and its value is still marked as unknown."""
    _vm(record).companion = _vm(record).companion[:-2] + companion_shown((64.0, 0, "Unknown"))


def zero_for_unknown(record: Record) -> None:
    """The viewer stays; the agent is killed, and the handler publishes zero for the silent agent."""
    _vm(record).sessions = [Session(10.0, 10.1)]
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (64.0, 0), (71.0, 1))
    _vm(record).companion = companion_shown(
        (0.0, 0, "True"), (10.2, 1, "False"), (64.0, 1, "Unknown"), (71.0, 1, "False")
    )
    _vm(record).acks = []


def lowered_though_unknown(record: Record) -> None:
    """Even if the lower number happens to be true."""
    _vm(record).sessions[0] = Session(10.0, 10.1, 61.0)
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1), (71.0, 0))
    _vm(record).companion = companion_shown(
        (0.0, 0, "True"), (10.2, 1, "False"), (20.5, 2, "False"), (31.1, 1, "False"), (64.0, 0, "Unknown"),
        (71.0, 0, "True"),
    )  # fmt: skip


def idle_while_a_viewer_is_connected(record: Record) -> None:
    """The number is right, and the condition Idle is not."""
    _vm(record).companion[3] = dataclasses.replace(_vm(record).companion[3], idle="True", last=41.0)
    _vm(record).companion[2] = dataclasses.replace(_vm(record).companion[2], idle="True")


def silence_that_is_not_marked(record: Record) -> None:
    """The agent is down for ten seconds, with a lease of three, and the value is not marked."""
    _vm(record).companion = [*_vm(record).companion[:-2]]
    _vm(record).companion[-1] = dataclasses.replace(_vm(record).companion[-1], last=100.0)


def a_value_that_outlives_its_handler(record: Record) -> None:
    """The handler is down from 50 s on, and what it wrote is never marked."""
    record.faults = [Fault(Target.HANDLER, Kind.KILL, 50.0, 99.0)]
    _vm(record).companion = _vm(record).companion[:-2]
    _vm(record).companion[-1] = dataclasses.replace(_vm(record).companion[-1], last=100.0)


def an_ack_for_nothing(record: Record) -> None:
    """Four was acknowledged, and the API never showed it."""
    _vm(record).acks.append(Ack(21.0, 22.0, 4))


def an_ack_that_comes_too_early(record: Record) -> None:
    """Two is published a second after its ack."""
    _vm(record).acks.append(Ack(18.0, 19.0, 2))


def a_storm_of_writes(record: Record) -> None:
    """The same number, written ten times a second."""
    again = [(42.0 + 0.1 * number, 0) for number in range(10)]
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1), (41.2, 0), *again)


@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        (a_number_that_never_was, Promise.ORDERED),
        (a_state_from_before, Promise.ORDERED),
        (a_ghost, Promise.NO_PHANTOM),
        (a_viewer_that_is_never_shown, Promise.CONVERGES),
        (unknown_without_end, Promise.CONVERGES),
        (zero_for_unknown, Promise.UNKNOWN_IS_NOT_ZERO),
        (lowered_though_unknown, Promise.UNKNOWN_IS_NOT_ZERO),
        (idle_while_a_viewer_is_connected, Promise.UNKNOWN_IS_NOT_ZERO),
        (silence_that_is_not_marked, Promise.UNKNOWN_IS_NOT_ZERO),
        (a_value_that_outlives_its_handler, Promise.NEVER_OUTLIVES),
        (an_ack_for_nothing, Promise.PUBLISHED_MEANS_PUBLISHED),
        (an_ack_that_comes_too_early, Promise.PUBLISHED_MEANS_PUBLISHED),
        (a_storm_of_writes, Promise.BOUNDED_WRITES),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_planted_violation_is_found(plant: Plant, promise: Promise) -> None:
    """By its name, and for its VM."""
    record = good()
    plant(record)
    found = violations(record)
    assert promise in {violation.promise for violation in found}
    assert {violation.machine for violation in found} == {"vm"}


# --- no violations ----------------------------------------------------------------------------------------------------


def too_many_while_unknown(record: Record) -> None:
    """An agent that cannot know counts one too many, and the value is marked."""
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1), (41.2, 0), (70.5, 1), (72.0, 0))
    _vm(record).companion = companion_shown(
        (0.0, 0, "True"), (10.2, 1, "False"), (20.5, 2, "False"), (31.1, 1, "False"), (41.2, 0, "True"),
        (64.0, 0, "Unknown"), (70.5, 1, "Unknown"), (72.0, 0, "True"),
    )  # fmt: skip


def nothing_is_written_while_no_program_can(record: Record) -> None:
    """The handler is down with the agent, and for longer."""
    record.faults.append(Fault(Target.HANDLER, Kind.FREEZE, 61.0, 75.0))
    _vm(record).companion = companion_shown(
        (0.0, 0, "True"), (10.2, 1, "False"), (20.5, 2, "False"), (31.1, 1, "False"), (41.2, 0, "True"),
    )  # fmt: skip


def a_value_that_the_controller_marks(record: Record) -> None:
    """At the last moment: the handler is down from 50 s on."""
    record.faults = [Fault(Target.HANDLER, Kind.KILL, 50.0, 99.0)]
    _vm(record).companion = [*_vm(record).companion[:-2], *companion_shown((90.0, 0, "Unknown"))]
    _vm(record).companion[-2] = dataclasses.replace(_vm(record).companion[-2], last=89.9)


def an_ack_of_what_was_overtaken(record: Record) -> None:
    """Three and two at once: a place that shows two has nothing of three left to publish, even if two has no ack."""
    _vm(record).acks.append(Ack(19.9, 20.8, 3))


def a_late_write_of_what_was(record: Record) -> None:
    """The API server was frozen with the write in its queue; the viewer was back when it continued."""
    record.faults.append(Fault(Target.APISERVER, Kind.FREEZE, 41.0, 80.0))
    _vm(record).sessions.append(Session(43.0, 43.1))
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1), (80.1, 0), (80.3, 1))
    _vm(record).companion = companion_shown(
        (0.0, 0, "True"), (10.2, 1, "False"), (20.5, 2, "False"), (31.1, 1, "False"), (80.1, 0, "True"),
        (80.3, 1, "False"),
    )  # fmt: skip


def half_a_handshake(record: Record) -> None:
    """It may or may not count."""
    _vm(record).sessions.append(Session(76.0, FOREVER, 90.0))
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1), (41.2, 0), (77.0, 1), (91.5, 0))


def an_ack_between_two_samples(record: Record) -> None:
    """The API server was killed right after the write of two, and the next write came before the next sample."""
    _vm(record).vmi[1] = dataclasses.replace(_vm(record).vmi[1], last=15.0)
    _vm(record).companion[1] = dataclasses.replace(_vm(record).companion[1], last=15.0)
    _vm(record).acks.append(Ack(16.0, 17.0, 3))


def lowered_between_two_samples(record: Record) -> None:
    """The fall was written, etcd was killed with the response, and unknown was written before the next sample."""
    record.faults.append(Fault(Target.ETCD, Kind.KILL, 60.4, 69.9))
    _vm(record).sessions[0] = Session(10.0, 10.1, 59.3)
    _vm(record).vmi = shown((0.0, 0), (10.2, 1), (20.5, 2), (31.1, 1), (70.0, 0))
    _vm(record).companion = companion_shown(
        (0.0, 0, "True"), (10.2, 1, "False"), (20.5, 2, "False"), (31.1, 1, "False"), (70.0, 0, "Unknown"),
        (71.0, 0, "True"),
    )  # fmt: skip
    for looks in (_vm(record).vmi, _vm(record).companion):
        looks[3] = dataclasses.replace(looks[3], last=60.4)


@pytest.mark.parametrize(
    "plant",
    [
        too_many_while_unknown,
        an_ack_of_what_was_overtaken,
        nothing_is_written_while_no_program_can,
        a_value_that_the_controller_marks,
        a_late_write_of_what_was,
        half_a_handshake,
        an_ack_between_two_samples,
        lowered_between_two_samples,
    ],
    ids=lambda value: value.__name__,
)
def test_what_no_promise_forbids_is_no_violation(plant: Plant) -> None:
    """A checker that reports mistakes where there are none would be switched off."""
    record = good()
    plant(record)
    assert _found(record) == []
