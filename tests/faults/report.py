"""The report of a run for people: a table, and for each violation the record around it and how to repeat the run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.chaos import Run
from tests.faults.promises import Promise, Violation
from tests.faults.record import FOREVER, History, Kind, Record, Target
from tests.faults.stand import HANDLER

#: Seconds of the record that are printed before and after a violation.
BEFORE, AFTER = 20.0, 3.0
#: A broken run may break all promises at once; the first violations are the most useful ones.
SHOWN = 5


def table(run: Run) -> str:
    """Return the faults by kind, and the numbers of samples."""
    seconds = run.record.ended - run.record.began
    header = f"{'faults injected':16}" + "".join(f"{kind.value:>9}" for kind in Kind)
    rows = [f"{target.value:16}" + "".join(f"{run.faults[target, kind]:9}" for kind in Kind) for target in Target]
    found = {promise: sum(one.promise is promise for one in run.violations) for promise in Promise}
    return "\n".join([
        f"seed {run.seed}, {seconds:.0f} s, {len(run.schedule)} rounds",
        "",
        header,
        *rows,
        "",
        f"{'long absences':16}{run.absences:9}",
        f"{'viewers':16}{run.viewers:9}",
        f"{'samples':16}{run.record.samples:9}",
        f"{'writes':16}{run.writes:9}",
        f"{'acks':16}{run.acks:9}",
        "",
        *(f"{promise.value:24}{number:9} violations" for promise, number in found.items()),
    ])  # fmt: skip


def failure(run: Run) -> str:
    """Return everything that is needed to understand a failure and to repeat it."""
    minutes = max(1, round((run.record.ended - run.record.began) / 60))
    value = [text for one in run.violations[:SHOWN] for text in ("", *_around(run, one))]
    whole = Path(tempfile.gettempdir()) / f"faults-{run.seed}.txt"
    whole.write_text("\n".join(text for history in run.record.histories for text in _whole(run, history)))
    left = len(run.violations) - SHOWN
    return "\n".join([
        table(run),
        *value,
        *([f"and {left} more"] if left > 0 else []),
        "",
        "the schedule:",
        *(f"  round {number}: {one}" for number, round_ in enumerate(run.schedule, 1) for one in round_),
        "",
        f"the whole record: {whole}",
        f"the same schedule again: make chaos SEED={run.seed} MINUTES={minutes}",
    ])  # fmt: skip


def _around(run: Run, violation: Violation) -> Iterator[str]:
    """Return the record before and after it, in the order of time."""
    record = run.record
    history = next(one for one in record.histories if one.name == violation.machine)
    yield f"{violation.promise.value} is broken, {_at(run, violation.at)}, {violation.machine}: {violation.what}"
    for at, text in sorted([(violation.at, "<<< here"), *_lines(record, history)]):
        if violation.at - BEFORE <= at <= violation.at + AFTER:
            yield f"  {_at(run, at)}  {text}"


def _whole(run: Run, history: History) -> Iterator[str]:
    yield f"--- {history.name}"
    for at, text in sorted(_lines(run.record, history)):
        yield f"{_at(run, at)}  {text}"


def _at(run: Run, time: float) -> str:
    return f"{time - run.record.began:8.3f} s"


def _lines(record: Record, history: History) -> list[tuple[float, str]]:
    lines: list[tuple[float, str]] = []
    for fault in record.faults:
        if fault.machine in ("", history.name):
            lines += [(fault.begin, f"begins  {fault}"), (fault.end, f"ends    {fault}")]
    for number, session in enumerate(history.sessions):
        lines.append((session.may_begin, f"viewer {number} connects"))
        lines += [
            (at, f"viewer {number} {does}")
            for at, does in ((session.must_begin, "is in"), (session.end, "leaves"))
            if at != FOREVER
        ]
    for place, looks in history.places.items():
        lines += [(look.first, f"{place:5} shows {look}") for look in looks]
    lines += [(ack.at, f"{ack.sessions} is acknowledged as published") for ack in history.acks]
    for program in (HANDLER, history.name):
        lines += [(at, f"| {program} | {text}") for at, text in record.logs.get(program, [])]
    return lines
