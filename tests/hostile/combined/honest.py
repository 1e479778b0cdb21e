"""The honest VMs: their agents report changes all the time, and everything that their companions show is recorded."""

import random
import threading
import time
from types import TracebackType
from typing import Final, Self

from servicestatus.v1 import sessions_pb2 as types
from testbed.promises import SHOWN_WITHIN
from tests.apiserver.client import Client, Recorder
from tests.apiserver.peers import GONE, Peer, Peers
from tests.apiserver.vmis import Vmi, told
from tests.hostile.combined import judge
from tests.hostile.combined.judge import Said, Shown

#: Seconds between two reports of all agents together: with 20 of them, each changes every 8 s.
PACE: Final = 0.4
_REASONS: Final = {True: types.OBSERVATION_REASON_WATCHING, False: types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE}


class Honest:
    """Reports from enter to quiet(); records from enter to exit."""

    def __init__(self, client: Client, vmis: list[Vmi], peers: Peers, seed: int) -> None:
        """The VMIs are in one namespace, which has no others."""
        self._chance = random.Random(f"honest {seed}")  # noqa: S311  # repeatable, not secret
        self._vmis = vmis
        self._peers = peers
        self._agents: dict[str, Peer] = {}
        self._recorder = Recorder(client, vmis[0].companion_path.rpartition("/")[0])
        self._quiet = threading.Event()
        self._thread = threading.Thread(target=self._work, name="honest", daemon=True)
        self.said: dict[str, list[Said]] = {vmi.name: [] for vmi in vmis}
        #: Streams that ended and were opened again, as an agent does.
        self.reconnects = 0
        self._end = 0.0

    def __enter__(self) -> Self:
        """Connect all agents; each has reported zero and is shown with it."""
        agents = self._peers.connect_all([vmi.socket for vmi in self._vmis])
        self._agents = {vmi.name: agent for vmi, agent in zip(self._vmis, agents, strict=True)}
        for name, agent in self._agents.items():
            self.said[name].append(Said(time.monotonic(), 0, True))
            agent.snapshot(0)
        for agent in agents:
            agent.wait_published()
        self._recorder.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.quiet()
        self._recorder.__exit__(kind, error, traceback)

    def quiet(self) -> None:
        """Report nothing more, and give the last reports the time that they have."""
        self._quiet.set()
        if self._thread.is_alive():
            self._thread.join()
        last = max((said[-1].at for said in self.said.values()), default=0.0)
        while time.monotonic() < last + SHOWN_WITHIN and max(self.delays(), default=0.0) > time.monotonic() - last:
            time.sleep(0.1)
        self._end = self._end or time.monotonic()

    @property
    def failed(self) -> bool:
        """Whether the reporting has ended by an error."""
        return not self._thread.is_alive() and not self._quiet.is_set()

    def shown(self) -> dict[str, list[Shown]]:
        """Return the versions of each companion."""
        versions: dict[str, list[Shown]] = {vmi.name: [] for vmi in self._vmis}
        for event in list(self._recorder.events):
            sessions, idle, observed, _ = told(event.object)
            version = Shown(event.at, sessions or 0, observed == "True", idle == "True")
            versions[event.object["metadata"]["name"]].append(version)
        return versions

    def delays(self) -> list[float]:
        """Return the seconds from each report to what followed from it."""
        end, shown = self._end or time.monotonic(), self.shown()
        return [delay for name, said in self.said.items() for delay in judge.delays(list(said), shown[name], end)]

    def false_idles(self) -> list[tuple[str, Shown]]:
        """Return the VMIs that were said to have no viewer, and had one."""
        shown = self.shown()
        return [(name, one) for name, said in self.said.items() for one in judge.false_idles(said, shown[name])]

    def _work(self) -> None:
        while True:
            names = list(self._agents)
            self._chance.shuffle(names)
            for name in names:
                if self._quiet.wait(PACE):
                    return
                self._change(name, self._agents[name])

    def _change(self, name: str, agent: Peer) -> None:
        """Report another number; one in five times, that it is not known any more."""
        observed = self._chance.random() < 0.8 or not self.said[name][-1].observed
        others = [number for number in (0, 0, 1, 2) if number != agent.sessions]
        sessions = self._chance.choice(others) if observed else agent.sessions
        self.said[name].append(Said(time.monotonic(), sessions, observed))
        try:
            agent.report(sessions, _REASONS[observed])
        except GONE:
            self.reconnects += 1
            agent.connect()
            agent.snapshot(sessions, _REASONS[observed])
