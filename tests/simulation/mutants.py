"""Bugs that are planted one by one, to show that the promises catch them.

`planting.py` describes how an edit finds its place in the code.
"""

from typing import Final

from tests.simulation.campaign import campaign
from tests.simulation.display_mutants import DISPLAY_MUTANTS
from tests.simulation.planting import Edit, Mutant, planted
from tests.simulation.port_mutants import PORT_MUTANTS

_STORE: Final = "handler_service.reports.store"
_SESSION_PROTOCOL: Final = "handler_service.reports.protocol"
_SCHEDULER: Final = "handler_service.publishing.scheduler"
_VMI_STATUS: Final = "handler_service.publishers.vmi_status"
_SINK: Final = "handler_service.cluster.companion_sink"
_WIRING: Final = "handler_service.cluster.wiring"
_DOMAIN_WATCH: Final = "launcher_agent.vm.domain_watch"
_REPORT_PROTOCOL: Final = "launcher_agent.reporting.protocol"

#: A delta whose numbers do not follow from the state is applied as far as possible.
_NUMBERS_NOT_CHECKED: Final = Edit(
    "handler_service.reports.decode",
    "_applied",
    "before.sessions + delta.started - delta.ended != delta.sessions",
    "setattr(delta, 'sessions', max(0, before.sessions + delta.started - delta.ended))",
)

MUTANTS: Final = (
    Mutant(
        "lease-ignored",
        (Edit(_STORE, "ReportStore.expire", "entry.lease_until <= now", "entry.lease_until <= now - 1e9"),),
        quick=True,
    ),
    Mutant(
        "delta-applied-twice",
        (
            Edit(_SESSION_PROTOCOL, "SessionProtocol._delta", "0 < delta.sequence <= entry.accepted", "False"),
            Edit(
                _SESSION_PROTOCOL,
                "SessionProtocol._delta",
                "delta.sequence != entry.accepted + 1",
                "delta.sequence > entry.accepted + 1",
            ),
            _NUMBERS_NOT_CHECKED,
        ),
    ),
    Mutant(
        "numbers-not-checked-after-a-gap",
        (
            Edit(_SESSION_PROTOCOL, "SessionProtocol._delta", "delta.sequence != entry.accepted + 1", "False"),
            _NUMBERS_NOT_CHECKED,
        ),
    ),
    Mutant(
        "ack-before-the-answer",
        (
            Edit(
                _SCHEDULER,
                "WriteScheduler._start",
                "item.last_start = now",
                "item.last_start = now; item.publish(attempt.watermarks or ())",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "zero-published-for-unknown",
        (Edit("handler_service.publishing.services", "_shown", "max(status.sessions, held.sessions)", "0"),),
        quick=True,
    ),
    Mutant(
        "restart-takes-waiting-for-zero",
        (
            Edit("handler_service.reports.entry", "_STARTING", "False", "True"),
            Edit(
                "handler_service.reports.summary",
                "desired_status",
                "all(entry.state is not EntryState.WAITING for entry in entries)",
                "True",
            ),
        ),
    ),
    Mutant(
        "goodbye-taken-for-zero",
        (
            Edit(
                _STORE,
                "ReportStore.goodbye",
                "entry.state = EntryState.GOODBYE",
                "entry.state = EntryState.GOODBYE; domain_ended = True",
            ),
        ),
    ),
    Mutant(
        "old-instance-accepted",
        (
            Edit(
                _SESSION_PROTOCOL,
                "SessionProtocol.receive",
                "self._reports.is_current(self._endpoint.id, self._stream)",
                "True",
            ),
            Edit(
                "handler_service.endpoints.report_stream",
                "ReportStream._look",
                "self._manager.is_current(self._endpoint.id, stream)",
                "True",
            ),
        ),
    ),
    Mutant(
        "fall-not-spaced",
        (
            Edit(
                "handler_service.publishing.timing",
                "earliest",
                "max(since + policy.fall, next_write)",
                "next_write",
            ),
        ),
    ),
    Mutant(
        "writes-not-spaced",
        (
            Edit(
                _SCHEDULER,
                "WriteScheduler._start",
                "max(item.next_write, now) + self._policy.interval",
                "now",
            ),
        ),
    ),
    Mutant(
        "rises-served-before-falls",
        (
            Edit(
                "handler_service.publishing.turns",
                "turn",
                "change if has_precedence else len(Change)",
                "change",
            ),
        ),
        quick=True,
    ),
    Mutant(
        "uid-precondition-dropped",
        (
            Edit(
                _VMI_STATUS,
                "VmiStatusPublisher._patch",
                "{'op': 'test', 'path': '/metadata/uid', 'value': vmi.uid}",
                "{'op': 'test', 'path': '/status/nodeName', 'value': self._node}",
            ),
        ),
    ),
    Mutant(
        "pruned-taken-for-success",
        (
            Edit(_VMI_STATUS, "VmiStatusPublisher.write", "OutcomeKind.PRUNED", "OutcomeKind.WRITTEN"),
            Edit(_VMI_STATUS, "VmiStatusPublisher.write", "PublishedValue(0)", "value"),
        ),
    ),
    Mutant(
        "reverted-taken-for-success",
        (Edit(_VMI_STATUS, "VmiStatusPublisher._compared", "known.published", "value"),),
    ),
    Mutant(
        "no-answer-taken-for-success",
        (
            Edit(
                _VMI_STATUS,
                "VmiStatusPublisher.write",
                "return outcomes.of_error(error)",
                "return Outcome(OutcomeKind.WRITTEN, value)",
            ),
        ),
    ),
    Mutant(
        "foreign-erasing-not-rewritten",
        (Edit(_WIRING, "Cluster._vmi_changed", "not self._status_publisher.stale(vmi)", "False"),),
    ),
    Mutant(
        "lost-companion-not-noticed",
        (Edit(_SINK, "CompanionSink._gone", "self._worker.seen(vmi, _NOTHING)", "None"),),
    ),
    Mutant(
        "stopped-domain-keeps-sessions",
        (Edit(_DOMAIN_WATCH, "DomainWatch._end_run", "self._state.table.clear(self._state.clock())", "None"),),
    ),
    Mutant(
        "gap-of-events-not-asked-about",
        (
            Edit(
                _DOMAIN_WATCH,
                "DomainWatch._adopt",
                "start(self._policy, run.graphics, seen=run.complete, on_host=self._wanted is not None)",
                "start(self._policy, run.graphics, seen=True, on_host=self._wanted is not None)",
            ),
        ),
    ),
    Mutant(
        "unfinished-client-counted",
        (Edit("launcher_agent.sessions.count_interval", "CountInterval.connect", "self.most", "self.most + 1"),),
        quick=True,
    ),
    Mutant(
        "resync-ignored",
        (
            Edit(
                _REPORT_PROTOCOL,
                "ReportProtocol.receive",
                "self.stream.snapshot_due = max(now, self.stream.next_snapshot)",
                "",
            ),
        ),
    ),
    Mutant(
        "lease-of-a-dead-handler-kept",
        (Edit("controller.leases", "HandlerLeases.of", "return Handler.AWAY", "return Handler.PRESENT"),),
        quick=True,
    ),
    Mutant(
        "lease-renewed-over-a-claim-that-cannot-be-withdrawn",
        (Edit("handler_service.cluster.vouching", "Vouching.vouches", "since > overdue", "True"),),
    ),
    Mutant(
        "reconnect-skips-snapshot",
        (
            Edit(_REPORT_PROTOCOL, "ReportProtocol._welcome", "stream.snapshot_due = now", ""),
            Edit(_REPORT_PROTOCOL, "ReportProtocol.hello", "Stream()", "Stream(base=self.stream.base)"),
            Edit(_SESSION_PROTOCOL, "SessionProtocol._delta", "not entry.accepted", "False"),
        ),
    ),
    Mutant(
        "early-viewer-not-asked-about",
        (Edit("launcher_agent.vm.query_policy", "start", "on_host or graphics.reachable_early", "on_host"),),
        quick=True,
    ),
    Mutant(
        "early-viewer-of-a-hosts-socket-not-asked-about",
        (
            Edit(
                "launcher_agent.vm.query_policy",
                "start",
                "on_host or graphics.reachable_early",
                "graphics.reachable_early",
            ),
        ),
    ),
    Mutant(
        "domains-lock-not-noticed",
        (Edit("launcher_agent.vm.liveness", "_INTERVAL", "2.8", "1e9"),),
        quick=True,
    ),
    Mutant(
        "answer-of-libvirt-awaited-too-long",
        (Edit("launcher_agent.vm.liveness", "TIME_LIMIT", "4.5", "8.0"),),
    ),
    Mutant(
        "lost-libvirt-still-observed",
        (
            Edit(
                "launcher_agent.vm.supervisor",
                "Supervisor.run",
                "self._state.observe(Reason.LIBVIRT_UNREACHABLE, str(lost))",
                "",
            ),
        ),
    ),
    *DISPLAY_MUTANTS,
    *PORT_MUTANTS,
)


def hunt(mutant: Mutant, seeds: int, jobs: int) -> tuple[str, int] | None:
    """Return the promise that the bug breaks first, and the histories that needs; None when none shows it."""
    with planted(mutant) as root:
        stats = campaign(seeds, 0, jobs, root, enough=1)
    if not stats.violations:
        return None
    seed, promise, _ = stats.violations[0]
    return promise, seed + 1
