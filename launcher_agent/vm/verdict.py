"""Holds what the watch concluded about the sessions, and whether libvirt still answers.

The two change independently: while libvirt does not answer, the conclusion is kept and not reported.
"""

import logging

from launcher_agent.state import State
from servicestatus.reasons import Reason

log = logging.getLogger(__name__)


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

    def on_liveness(self, problem: str) -> None:
        """libvirt does not answer, because of `problem`; or, if it is empty, answers again."""
        if problem:
            log.warning("%s; the sessions are not observed until it has answered", problem)
            self._state.observe(Reason.LIBVIRT_UNREACHABLE, problem)
        else:
            log.info("libvirt answers again")
            self._state.observe(self.reason, self.message)
        self._problem = problem
