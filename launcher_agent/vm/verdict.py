"""Holds what the watch concluded about the sessions, and whether libvirt still answers.

The two change independently: while libvirt does not answer, the conclusion is kept and not reported.
"""

import logging
from typing import Final

from launcher_agent.state import State
from launcher_agent.vm.query_policy import Start
from servicestatus.reasons import Reason

log = logging.getLogger(__name__)

_MAY_MISS: Final = "viewers from before libvirt reported the VM may be missing, and --query=never forbids to ask QEMU"


class Verdict:
    """Writes the observation of the state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._problem = ""  # of libvirt's answers
        self.reason = Reason.LIBVIRT_UNREACHABLE
        self.message = "the domain has not been looked up yet"

    def set(self, reason: Reason, message: str = "") -> None:
        """Conclude this; it is reported unless libvirt does not answer."""
        self.reason, self.message = reason, message
        if not self._problem:
            self._state.observe(reason, message)

    def warn(self, problem: str, reason: Reason, message: str) -> None:
        """Conclude this, and log `problem` with the message if it is a new one."""
        if message != self.message:
            log.warning("%s: %s", problem, message)
        self.set(reason, message)

    def conclude(self, start: Start, unobservable: str) -> None:
        """Conclude what the events prove of a run that begins to be watched. `unobservable` is a server, in words."""
        match start:
            case Start.KNOWN:
                self.set(Reason.WATCHING)
            case Start.ASK:
                self.set(Reason.RECONCILING)
            case Start.LOWER_BOUND:
                self.set(Reason.LOWER_BOUND, _MAY_MISS)
            case Start.UNOBSERVABLE:
                self.set(Reason.UNOBSERVABLE_LISTENER, unobservable)

    def on_liveness(self, problem: str) -> None:
        """libvirt does not answer, because of `problem`; or, if it is empty, answers again."""
        if problem:
            log.warning("%s; the sessions are not observed until it has answered", problem)
            self._state.observe(Reason.LIBVIRT_UNREACHABLE, problem)
        else:
            log.info("libvirt answers again")
            self._state.observe(self.reason, self.message)
        self._problem = problem
