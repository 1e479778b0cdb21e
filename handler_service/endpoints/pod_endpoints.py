"""Serves a socket in each launcher pod that this node's VMIs name, as pods come and go.

The kubelet's directory is polled through the opener, and not watched: a pod's directory appears before its containers
start, and a poll costs some microseconds for each pod. A pod whose directory or socket is rejected is logged once in
ten minutes and tried again every 10 s. Until it is served, its VMI counts as not observed, whatever other pods of that
VMI report. While the opener is away, pods that are served stay so, and others wait.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handler_service.endpoints.pod_sockets import OpenerAwayError, Sockets
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.rejections import RejectionLog
from handler_service.endpoints.server import EndpointServer
from handler_service.model import Endpoint, Reason, Unserved, VmiId
from handler_service.opener.messages import PodState, RefusedError, is_uid
from handler_service.status_manager import StatusManager
from servicestatus import contract, logs
from servicestatus.sockets import SocketError

log = logging.getLogger(__name__)

#: Seconds between polls while a pod is expected, and while all pods are served. A launcher pod needs about 2 s from its
#: directory to its VM, so 0.25 s is early enough for the agent's first or second dial.
_LOOK_FOR_NEW: Final = 0.25
_LOOK_AT_OLD: Final = 1.0
#: Seconds after which a pod without a directory is not expected to get one: it has no agent.
_EXPECTED: Final = 30.0
#: Seconds in which the kubelet removes a pod: its files disappear one by one, and the socket before the others.
_REMOVAL: Final = 0.5
#: Seconds until a pod whose directory was rejected, or whose socket was removed, is tried again.
_RETRY_REFUSED: Final = 10.0


class _PodLog:
    """Logs each kind of event of one pod once in ten minutes."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float]) -> None:
        fields = logs.fields(vmi=endpoint.vmi, pod=endpoint.pod_uid)
        self.warnings = RejectionLog(lambda text: log.warning("%s", text, extra=fields), clock)
        self.notes = RejectionLog(lambda text: log.info("%s", text, extra=fields), clock)


@dataclass(slots=True)
class _Served:
    server: EndpointServer
    #: What the pod had when the socket was bound.
    state: PodState
    missing_since: float | None = None


class PodEndpoints:
    """Keeps the endpoints of this node's launcher pods."""

    def __init__(
        self,
        pods: Sockets,
        manager: StatusManager,
        settings: contract.StreamSettings,
        version: str,
        sockets: PrivateSockets,
    ) -> None:
        """Serve nothing before run(). `close` closes `pods` too."""
        self._pods = pods
        self._newest: Callable[[], Mapping[str, VmiId]] = dict
        self._manager = manager
        self._settings = settings
        self._version = version
        self._sockets = sockets
        self._wanted: Mapping[str, VmiId] = {}
        self._wanted_since: dict[str, float] = {}
        self._served: dict[str, _Served] = {}
        self._not_before: dict[str, float] = {}
        #: By pod UID, its log. Kept while the pod is expected, however often its socket is created again.
        self._logs: dict[str, _PodLog] = {}
        self._flagged: dict[str, VmiId] = {}
        self._wake = asyncio.Event()
        self._opener_log = RejectionLog(lambda text: log.warning("%s", text), manager.clock)

    def set_pods(self, pods: Callable[[], Mapping[str, VmiId]]) -> None:
        """Set the source of the pods to serve, by UID.

        The next poll calls it, so changes that follow each other closely are handled together.
        """
        self._newest = pods
        self._wake.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._set_pods(self._newest())
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_FOR_NEW if self._expecting() else _LOOK_AT_OLD):
                    await self._wake.wait()
            self._wake.clear()

    def drain(self, grace: float) -> None:
        """Send DrainNotice to all agents."""
        for served in self._served.values():
            served.server.drain(grace)

    async def close(self) -> None:
        """Stop serving. The published values stay."""
        await self._release(list(self._served))
        self._pods.close()

    def _expecting(self) -> bool:
        young = self._manager.clock() - _EXPECTED
        return any(since > young for uid, since in self._wanted_since.items() if uid not in self._served)

    def _set_pods(self, pods: Mapping[str, VmiId]) -> None:
        self._wanted = pods
        now = self._manager.clock()
        self._wanted_since = {uid: self._wanted_since.get(uid, now) for uid in pods}

    async def _look(self) -> None:
        states = await self._states()
        over = [
            uid
            for uid, served in self._served.items()
            if self._wanted.get(uid) != served.server.endpoint.vmi
            or (states is not None and self._changed(uid, served, states[uid]))
        ]
        self._flag_unserved(over, states)
        await self._release(over)
        if states is not None:
            for uid, vmi in self._wanted.items():
                if uid not in self._served and self._manager.clock() >= self._not_before.get(uid, 0.0):
                    await self._serve(uid, vmi)
        for forgotten in (self._not_before, self._logs):
            for uid in forgotten.keys() - self._wanted.keys():
                del forgotten[uid]

    async def _states(self) -> Mapping[str, PodState] | None:
        """Return what each pod has now, or None while the opener is away."""
        try:
            states = await self._pods.look(self._wanted)
        except OpenerAwayError as error:
            self._manager.set_opener(answers=False)
            self._opener_log.note("away", f"the opener is away: {error}; pods that are served stay so, others wait")
            return None
        if self._pods.by_opener:
            self._manager.set_opener(answers=True)
        return states

    def _flag_unserved(self, over: Sequence[str], states: Mapping[str, PodState] | None) -> None:
        """Mark each VMI as not observed while one of its pods has volumes here and is not served.

        All pods are checked before any is served: a pod that a user has added to a VMI must not report a zero in place
        of the pod that runs the VM. While the opener is away, each pod that is not served may have volumes.
        """
        for uid in self._flagged.keys() - self._wanted.keys():
            self._unflag(uid)
        for uid, vmi in self._wanted.items():
            if uid in self._not_before or (uid in self._served and uid not in over):
                continue  # rejected, which is flagged, or served
            if is_uid(uid) if states is None else states[uid].volumes:
                self._flag(uid, vmi, Unserved(Reason.NO_AGENT))
            else:
                self._unflag(uid)

    def _flag(self, uid: str, vmi: VmiId, unserved: Unserved) -> None:
        if self._flagged.get(uid, vmi) != vmi:
            self._unflag(uid)
        self._flagged[uid] = vmi
        self._manager.set_unserved(vmi, uid, unserved)

    def _unflag(self, uid: str) -> None:
        vmi = self._flagged.pop(uid, None)
        if vmi is not None:
            self._manager.set_unserved(vmi, uid, None)

    async def _serve(self, uid: str, vmi: VmiId) -> None:
        try:
            opened = await self._pods.open(uid)
            if opened is None:
                self._not_before.pop(uid, None)  # the rejected file is gone; the next poll shows whether the pod is
                return
            await self._start(uid, vmi, *opened)
        except OpenerAwayError:
            return  # the next poll reports it
        except (RefusedError, SocketError) as error:
            self._refuse(uid, vmi, type(error).__name__, str(error))

    async def _start(self, uid: str, vmi: VmiId, listener: socket.socket, state: PodState) -> None:
        pod_log = self._log_of(uid, vmi)
        endpoint = self._pods.endpoint(uid, vmi)
        server = EndpointServer(
            endpoint, self._manager, self._settings, self._version, self._sockets, rejections=pod_log.notes
        )
        try:
            await server.start(listener)
        except BaseException:
            await self._pods.remove(uid, state)
            raise
        self._served[uid] = _Served(server, state)
        self._not_before.pop(uid, None)
        self._unflag(uid)
        pod_log.notes.note("serving", f"serving {endpoint.socket}")

    def _changed(self, uid: str, served: _Served, state: PodState) -> bool:
        """Return whether the path leads to another directory, or the socket is not the handler's any more."""
        if state.directory != served.state.directory:
            return True  # the opener checks whether it may be used
        if state.socket is not None and state.socket == served.state.socket:
            served.missing_since = None
            return False
        if state.socket is None:
            # The end of the pod looks the same for a moment, and needs no warning.
            now = self._manager.clock()
            if served.missing_since is None:
                served.missing_since = now
            if now < served.missing_since + _REMOVAL:
                return False
        endpoint = served.server.endpoint
        self._refuse(uid, endpoint.vmi, "socket", f"{endpoint.socket} was removed or replaced")
        return True

    def _refuse(self, uid: str, vmi: VmiId, kind: str, problem: str) -> None:
        self._not_before[uid] = self._manager.clock() + _RETRY_REFUSED
        self._flag(uid, vmi, Unserved(Reason.SOCKET_REFUSED, problem))
        self._log_of(uid, vmi).warnings.note(kind, problem)

    def _log_of(self, uid: str, vmi: VmiId) -> _PodLog:
        if uid not in self._logs:
            self._logs[uid] = _PodLog(self._pods.endpoint(uid, vmi), self._manager.clock)
        return self._logs[uid]

    async def _release(self, uids: Sequence[str]) -> None:
        """Stop serving these pods concurrently: each may need the whole grace period of its streams."""
        async with asyncio.TaskGroup() as group:
            for uid in uids:
                group.create_task(self._stop(uid, self._served.pop(uid)))

    async def _stop(self, uid: str, served: _Served) -> None:
        await served.server.stop()
        await self._pods.remove(uid, served.state)
        vmi = served.server.endpoint.vmi
        self._log_of(uid, vmi).notes.note("released", f"no longer serving {served.server.endpoint.socket}")
