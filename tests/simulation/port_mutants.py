"""Bugs about the services that are polled; see `ports.py`."""

from typing import Final

from tests.simulation.planting import Edit, Mutant

_POLLER: Final = "launcher_agent.vm.poller"
_SAMPLED: Final = "launcher_agent.sessions.sampled"
_SERVICE_WATCH: Final = "launcher_agent.vm.service_watch"
_SERVICES: Final = "handler_service.publishing.services"

PORT_MUTANTS: Final = (
    Mutant(
        "free-console-not-confirmed",
        (Edit(_POLLER, "_CONFIRM", "(0.061, 0.071, 0.083)", "()"),),
    ),
    Mutant(
        "free-console-confirmed-once",
        (Edit(_POLLER, "_CONFIRM", "(0.061, 0.071, 0.083)", "(0.083,)"),),
    ),
    Mutant(
        "first-answer-taken-for-zero",
        (
            Edit(_SAMPLED, "SampledUse.sample", "unconfirmed <= self._seen", "True"),
            Edit(_SAMPLED, "SampledUse.sample", "bool(unconfirmed)", "bool(unconfirmed & self._used)"),
        ),
    ),
    Mutant(
        "client-without-a-device-counted",
        (Edit(_POLLER, "Poller._sample", "poll_query.attached(answer)", "True"),),
        quick=True,
    ),
    Mutant(
        "failed-poll-taken-for-zero",
        (
            Edit(
                _POLLER,
                "Poller._fail",
                "self._observe_all(Reason.QUERY_FAILED, problem)",
                "for service in self._asked():\n"
                "    self._state.services[service].count(0, 0, self._state.clock())\n"
                "self._observe_all(Reason.WATCHING)",
            ),
        ),
    ),
    Mutant(
        "failed-polls-still-observed",
        (Edit(_POLLER, "Poller._fail", "self._observe_all(Reason.QUERY_FAILED, problem)", ""),),
    ),
    Mutant(
        "forbidden-polls-observed",
        (Edit(_SERVICE_WATCH, "ServiceWatch._poll", "Reason.NOT_WATCHED", "Reason.WATCHING"),),
    ),
    Mutant(
        "zero-published-for-an-unknown-service",
        (
            Edit(
                _SERVICES,
                "_shown",
                "status.sessions if status.observed else max(status.sessions, held.sessions)",
                "status.sessions if status.observed else (status is desired) * max(status.sessions, held.sessions)",
            ),
        ),
        quick=True,
    ),
)
