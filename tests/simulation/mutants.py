"""Bugs that are planted, one by one, to see that the promises catch them.

A mutant is an edit of the programs' text in a copy of them. A text that is not there exactly once is an error, so that
the table cannot outlive the code that it is about.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.simulation.campaign import ROOT, campaign

_COPIED: Final = ("launcher_agent", "handler_service", "servicestatus", "tests/simulation")


@dataclass(frozen=True, slots=True)
class Edit:
    """In this file, this becomes that."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug."""

    name: str
    edits: tuple[Edit, ...]
    #: It is found within so few histories that each run of the tests can look for it.
    quick: bool = False


class StaleMutantError(Exception):
    """The text that a mutant edits is not there, or not once."""


MUTANTS: Final = (
    Mutant(
        "lease-ignored",
        (
            Edit(
                "handler_service/reports/store.py",
                "if _leased(entry) and entry.lease_until <= now]",
                "if _leased(entry) and entry.lease_until <= now - 1e9]",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "delta-applied-twice",
        (
            Edit("handler_service/reports/protocol.py", "or 0 < delta.sequence <= entry.accepted:", "or False:"),
            Edit(
                "handler_service/reports/protocol.py",
                "if delta.sequence != entry.accepted + 1:",
                "if delta.sequence > entry.accepted + 1:",
            ),
            Edit(
                "handler_service/reports/decode.py",
                "    if before.sessions + delta.started - delta.ended != delta.sessions:\n",
                "    delta.sessions = max(0, before.sessions + delta.started - delta.ended)\n    if False:\n",
            ),
        ),
    ),
    Mutant(
        "numbers-not-checked-after-a-gap",
        (
            Edit("handler_service/reports/protocol.py", "if delta.sequence != entry.accepted + 1:", "if False:"),
            Edit(
                "handler_service/reports/decode.py",
                "    if before.sessions + delta.started - delta.ended != delta.sessions:\n",
                "    delta.sessions = max(0, before.sessions + delta.started - delta.ended)\n    if False:\n",
            ),
        ),
    ),
    Mutant(
        "ack-before-the-answer",
        (
            Edit(
                "handler_service/publishing/scheduler.py",
                "attempt.watermarks = item.desired.watermarks\n",
                "attempt.watermarks = item.desired.watermarks\n            item.publish(attempt.watermarks)\n",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "zero-published-for-unknown",
        (
            Edit(
                "handler_service/publishing/item.py",
                "sessions = desired.sessions if desired.observed else max(desired.sessions, actual.sessions)",
                "sessions = desired.sessions if desired.observed else 0",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "restart-takes-waiting-for-nobody",
        (
            Edit(
                "handler_service/reports/store.py",
                "_STARTING: Final = Observed(False, Reason.AGENT_STARTING)",
                "_STARTING: Final = Observed(True, Reason.AGENT_STARTING)",
            ),
            Edit(
                "handler_service/reports/store.py",
                "synced=all(entry.state is not EntryState.WAITING for entry in entries)",
                "synced=True",
            ),
        ),
    ),
    Mutant(
        "goodbye-taken-for-nobody",
        (
            Edit(
                "handler_service/reports/store.py", "entry.domain_ended = domain_ended\n", "entry.domain_ended = True\n"
            ),
            Edit("handler_service/reports/store.py", "        if domain_ended:\n", "        if True:\n"),
        ),
    ),
    Mutant(
        "old-instance-accepted",
        (
            Edit(
                "handler_service/reports/protocol.py",
                "        if not self._reports.is_current(self._endpoint.id, self._stream):\n            raise",
                "        if False:\n            raise",
            ),
            Edit(
                "handler_service/endpoints/servicer.py",
                "if stream and not self._manager.is_current(self._endpoint.id, stream):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "fall-not-spaced",
        (
            Edit(
                "handler_service/publishing/timing.py",
                "return max(since + policy.fall, next_write)",
                "return next_write",
            ),
        ),
    ),
    Mutant(
        "writes-not-spaced",
        (
            Edit(
                "handler_service/publishing/scheduler.py",
                "item.next_write = max(item.next_write, now) + self._policy.interval",
                "item.next_write = now",
            ),
        ),
    ),
    Mutant(
        "uid-precondition-dropped",
        (
            Edit(
                "handler_service/publishers/vmi_status.py",
                '            {"op": "test", "path": "/metadata/uid", "value": vmi.uid},\n',
                "",
            ),
        ),
    ),
    Mutant(
        "pruned-taken-for-success",
        (
            Edit(
                "handler_service/publishers/vmi_status.py",
                "                OutcomeKind.PRUNED, PublishedValue(0), ",
                "                OutcomeKind.WRITTEN, value, ",
            ),
        ),
    ),
    Mutant(
        "reverted-taken-for-success",
        (
            Edit(
                "handler_service/publishers/vmi_status.py",
                "        held = PublishedValue(known.sessions)\n",
                "        held = value\n",
            ),
        ),
    ),
    Mutant(
        "no-answer-taken-for-success",
        (
            Edit(
                "handler_service/publishers/vmi_status.py",
                "            return outcomes.of_error(error)\n        return self._compared",
                "            return Outcome(OutcomeKind.WRITTEN, value)\n        return self._compared",
            ),
        ),
    ),
    Mutant(
        "foreign-erasing-not-rewritten",
        (
            Edit(
                "handler_service/cluster/wiring.py",
                "elif self._vmi_status is not None and not self._status_publisher.stale(vmi):",
                "elif False:",
            ),
        ),
    ),
    Mutant(
        "lost-companion-not-noticed",
        (
            Edit(
                "handler_service/cluster/wiring.py",
                "        self._publication.seen(vmi, _NOTHING)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "stopped-domain-keeps-sessions",
        (
            Edit(
                "launcher_agent/vm/domain_watch.py",
                "            self._state.life = Life.ENDED\n        self._state.table.clear(self._state.clock())\n",
                "            self._state.life = Life.ENDED\n",
            ),
        ),
    ),
    Mutant(
        "gap-of-events-not-asked-about",
        (Edit("launcher_agent/vm/domain_watch.py", "        if self._complete:\n", "        if True:\n"),),
    ),
    Mutant(
        "unfinished-client-counted",
        (
            Edit(
                "launcher_agent/sessions/count_interval.py",
                "return CountInterval(self.connected + 1, self.least, self.most)",
                "return CountInterval(self.connected + 1, self.least, self.most + 1)",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "resync-ignored",
        (
            Edit(
                "launcher_agent/reporting/protocol.py",
                "            self.stream.snapshot_due = max(now, self.stream.next_snapshot)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "reconnect-skips-snapshot",
        (
            Edit("launcher_agent/reporting/protocol.py", "        stream.snapshot_due = now\n", ""),
            Edit(
                "launcher_agent/reporting/protocol.py",
                "        self.stream = Stream()\n        return self._hello",
                "        self.stream = Stream(base=self.stream.base)\n        return self._hello",
            ),
            Edit(
                "handler_service/reports/protocol.py",
                "        if not entry.accepted:\n",
                "        if False:\n",
            ),
        ),
    ),
)


@contextmanager
def planted(mutant: Mutant) -> Iterator[Path]:
    """A copy of both programs with the bug in it."""
    with tempfile.TemporaryDirectory(prefix="vss-mutant-") as folder:
        root = Path(folder)
        for name in _COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "tests/__init__.py", root / "tests/__init__.py")
        for edit in mutant.edits:
            _apply(mutant, edit, root / edit.file)
        yield root


def _apply(mutant: Mutant, edit: Edit, path: Path) -> None:
    text = path.read_text()
    if text.count(edit.old) != 1:
        raise StaleMutantError(f"{mutant.name}: {edit.file} has {text.count(edit.old)} times: {edit.old}")
    path.write_text(text.replace(edit.old, edit.new))


def hunt(mutant: Mutant, seeds: int, jobs: int) -> tuple[str, int] | None:
    """The promise that it breaks first, and how many histories that needs; None if none of them shows it."""
    with planted(mutant) as root:
        stats = campaign(seeds, 0, jobs, root, enough=1)
    if not stats.violations:
        return None
    seed, promise, _ = stats.violations[0]
    return promise, seed + 1
