"""Renews the Lease of this node, which shows that the handler maintains its published values.

The handler renews its Lease only while it follows the cluster: values are stale if it does not see its VMIs. A handler
that stops leaves its Lease unchanged, so a restart within 30 s has no effect on the values.

A renewal is for the Lease as this handler wrote it last. If that is not what the API server has, its data may have been
restored from a backup: what a watch has shown and what was written since is gone, and a watch that continues where the
former one ended shows no change. So the handler reads everything again before it renews the Lease.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from handler_service.kube import leases
from handler_service.kube.client import MERGE_PATCH, KubeClient
from handler_service.kube.errors import ConflictError, KubeError, NotFoundError, UnreachableError

log = logging.getLogger(__name__)

#: Seconds until the next try after a failed one, and the timeout of one try. Four tries fit before the Lease expires.
_RETRY: Final = 2.0
_TIMEOUT: Final = 3.0
#: Seconds between two checks whether the handler follows the cluster. Short, so that it renews soon after its start.
_POLL: Final = 0.2


class NodeLease:
    """Renews one Lease."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        node: str,
        *,
        holder: str,
        publishes: Sequence[str],
        vouches: Callable[[], bool],
        replaced: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`vouches` returns whether the handler sees the objects that its values depend on.

        `replaced` is called when the Lease is not the one that this handler wrote last.
        """
        self._client = client
        self._namespace = namespace
        self._node = node
        self._holder = holder
        self._publishes = list(publishes)
        self._vouches = vouches
        self._replaced = replaced
        self._wall = wall
        self._failing = False
        #: The resourceVersion of the last renewal; empty before the first one.
        self._version = ""
        self._was_replaced = False

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            # A plugin that returns credentials has a time limit of its own, which is longer than that of the request.
            # The handler may have stopped to vouch by its end.
            await self._client.refresh()
            if not self._vouches():
                await asyncio.sleep(_POLL)
            elif await self._renew():
                # Spread, so that handlers that started together do not renew together.
                await asyncio.sleep(leases.RENEW_INTERVAL * random.uniform(0.9, 1.0))  # noqa: S311  # spreads load
            else:
                await asyncio.sleep(_RETRY)

    async def _renew(self) -> bool:
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._write()
        except ConflictError:
            self._note_replaced()
            return False
        except (KubeError, TimeoutError) as error:
            cause = error if isinstance(error, KubeError) else UnreachableError(f"no answer within {_TIMEOUT:g} s")
            self._failed(cause)
            return False
        if self._failing:
            self._failing = False
            log.info("the Lease of node %s is renewed again", self._node)
        return True

    async def _write(self) -> None:
        """Raises ConflictError if the Lease is not the one that this handler wrote last."""
        body = leases.manifest(self._namespace, self._node, self._holder, self._publishes, self._wall())
        path = leases.path(self._namespace, self._node)
        if self._version:
            body["metadata"]["resourceVersion"] = self._version
        try:
            answer = await self._client.patch(path, body, MERGE_PATCH)
        except NotFoundError as error:
            if self._version:
                raise ConflictError(str(error)) from error
            answer = await self._client.post(leases.collection(self._namespace), body)
        self._was_replaced = self._was_replaced and not self._version
        self._version = str((answer.get("metadata") or {}).get("resourceVersion", ""))

    def _note_replaced(self) -> None:
        self._version = ""  # the next renewal is for the Lease as it is then
        # After an outage, it may be a renewal of this handler's own whose answer was lost.
        first = logging.INFO if self._failing else logging.WARNING
        level = logging.DEBUG if self._was_replaced else first
        self._was_replaced = True
        log.log(
            level,
            "the Lease of node %s is not the one that this handler wrote last: another handler of this node or a user"
            " has changed it, or the API server's data was restored from a backup; everything is read again",
            self._node,
        )
        self._replaced()

    def _failed(self, error: KubeError) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        self._failing = True
        log.log(
            level,
            "the Lease of node %s cannot be renewed: %s; after %d s without it the controller marks this node's values"
            " as not observed; trying again",
            self._node,
            error,
            leases.DURATION,
        )
