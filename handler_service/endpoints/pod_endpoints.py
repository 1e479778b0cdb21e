"""Serves a socket in each launcher pod that this node's VMIs name, as pods come and go.

The kubelet's directory is looked at rather than watched: a pod's directory appears before its containers start, and a
look costs some microseconds a pod. A pod that plays tricks is told once, tried again seldom, and harms nobody.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from handler_service.endpoints.pod_directory import (
    SOCKET,
    DirectoryRefusedError,
    Identity,
    PodsDirectory,
    socket_identity,
)
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.server import EndpointServer
from handler_service.model import Endpoint, VmiId
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.sockets import SocketDirectory, SocketError

log = logging.getLogger(__name__)

#: Seconds between looks while a pod is expected, and while all is there. A launcher pod needs about two seconds from
#: its directory to its VM, so a quarter of a second is early enough for the agent's first dial or its second.
_LOOK_FOR_NEW: Final = 0.25
_LOOK_AT_OLD: Final = 1.0
#: Seconds after which a pod without a directory is no longer expected at any moment: it has no agent.
_EXPECTED: Final = 30.0
#: Seconds in which the kubelet may be removing a pod: its files vanish one by one, and this socket before the rest.
_REMOVAL: Final = 0.5
#: Seconds until a pod whose directory was refused, or whose socket was taken away, is tried again.
_RETRY_REFUSED: Final = 10.0


@dataclass(slots=True)
class _Served:
    server: EndpointServer
    directory: SocketDirectory
    identity: Identity
    socket: Identity | None
    missing_since: float | None = None


class PodEndpoints:
    """The endpoints of this node's launcher pods."""

    def __init__(
        self,
        pods: PodsDirectory,
        manager: StatusManager,
        settings: contract.StreamSettings,
        version: str,
        sockets: PrivateSockets,
    ) -> None:
        """Nothing is served before run(). `pods` is closed with this."""
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
        self._told: dict[str, tuple[VmiId, str]] = {}
        self._wake = asyncio.Event()

    def set_pods(self, pods: Callable[[], Mapping[str, VmiId]]) -> None:
        """Other pods than before may be here, by UID: those that are, shall be served.

        They are asked for with the next look, so that all that changes in a moment is one.
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
        """Tell all agents that the handler stops."""
        for served in self._served.values():
            served.server.drain(grace)

    async def close(self) -> None:
        """Stop serving. What is published stays."""
        for uid in list(self._served):
            await self._release(uid)
        self._pods.close()

    def _expecting(self) -> bool:
        young = self._manager.clock() - _EXPECTED
        return any(since > young for uid, since in self._wanted_since.items() if uid not in self._served)

    def _set_pods(self, pods: Mapping[str, VmiId]) -> None:
        self._wanted = pods
        now = self._manager.clock()
        self._wanted_since = {uid: self._wanted_since.get(uid, now) for uid in pods}

    async def _look(self) -> None:
        for uid, served in list(self._served.items()):
            if self._wanted.get(uid) != served.server.endpoint.vmi or self._changed(uid, served):
                await self._release(uid)
        for uid, vmi in list(self._wanted.items()):
            if uid not in self._served and self._manager.clock() >= self._not_before.get(uid, 0.0):
                await self._serve(uid, vmi)
        for uid in self._not_before.keys() - self._wanted.keys():
            del self._not_before[uid]
            vmi, _ = self._told.pop(uid)
            self._manager.refuse(vmi, None)

    async def _serve(self, uid: str, vmi: VmiId) -> None:
        try:
            opened = self._pods.open(uid)
            if opened is None:
                return
            await self._start(uid, vmi, *opened)
        except (DirectoryRefusedError, SocketError) as error:
            self._refuse(uid, vmi, str(error))

    async def _start(self, uid: str, vmi: VmiId, directory: SocketDirectory, identity: Identity) -> None:
        endpoint = Endpoint(id=uid, vmi=vmi, socket=str(directory.path / SOCKET), pod_uid=uid)
        server = EndpointServer(endpoint, self._manager, self._settings, self._version, self._sockets)
        try:
            await server.start(directory, SOCKET)
        except BaseException:
            directory.close()
            raise
        self._served[uid] = _Served(server, directory, identity, socket_identity(directory))
        self._manager.refuse(vmi, None)
        log.info("%s: serving pod %s", vmi, uid)

    def _changed(self, uid: str, served: _Served) -> bool:
        """Whether the path has come to mean something else, or the socket is not ours any more."""
        if self._pods.identity(uid) != served.identity:
            return True  # whether it may be used is seen when it is opened
        socket = socket_identity(served.directory)
        if socket is not None and socket == served.socket:
            served.missing_since = None
            return False
        if socket is None:
            # The pod's own end looks the same for a moment, and is nothing to warn of.
            now = self._manager.clock()
            if served.missing_since is None:
                served.missing_since = now
            if now < served.missing_since + _REMOVAL:
                return False
        self._refuse(uid, served.server.endpoint.vmi, f"{served.server.endpoint.socket} was taken away")
        return True

    def _refuse(self, uid: str, vmi: VmiId, problem: str) -> None:
        self._not_before[uid] = self._manager.clock() + _RETRY_REFUSED
        self._manager.refuse(vmi, problem)
        if self._told.get(uid) != (vmi, problem):
            self._told[uid] = vmi, problem
            log.warning("%s: pod %s: %s", vmi, uid, problem)

    async def _release(self, uid: str) -> None:
        served = self._served.pop(uid)
        await served.server.stop()
        served.directory.close()
        log.info("%s: no longer serving pod %s", served.server.endpoint.vmi, uid)
