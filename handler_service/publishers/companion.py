"""Publishes into an object of our own beside the VMI, which works on a stock KubeVirt.

Every status write has a resourceVersion as its precondition. Only handlers and the controller write companions, so a
conflict means that the other one has written, or that it is another object. The handler then reads the VMI itself, and
only the handler of `status.nodeName` tries again.

Invariants: a response never restores an object that the watch reported deleted while the request was in flight; nothing
is written for a VMI that may have moved to another node unseen.
"""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from handler_service.kube import companion as companions
from handler_service.kube import conditions, service_conditions
from handler_service.kube import vmi as vmis
from handler_service.kube.client import MERGE_PATCH, KubeClient
from handler_service.kube.errors import ConflictError, KubeError, NotFoundError
from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId
from handler_service.publishers import outcomes
from servicestatus.clock import WallClock

#: The value of a VMI without a companion.
_NOTHING: Final = PublishedValue(0, None)


class CompanionPublisher:
    """Writes `VirtualMachineInstanceServiceStatus` objects."""

    name = "companion"

    def __init__(
        self,
        client: KubeClient,
        node: str,
        current: Callable[[], bool],
        wall: WallClock = time.time,
        written: Callable[[companions.Companion], object] = lambda _: None,
    ) -> None:
        """`node` is the one whose VMIs are published; `current` returns whether the watches of VMIs work.

        `written` gets each companion that the API server returned for a write.
        """
        self._client = client
        self._node = node
        self._current = current
        self._wall = wall
        self._written = written
        self._companions: dict[VmiId, companions.Companion] = {}
        #: The VMIs whose job is under way, and whether the watch reported the companion deleted meanwhile.
        self._gone_meanwhile: dict[VmiId, bool] = {}

    def detail(self, desired: DesiredStatus) -> Hashable:
        """Return conditions and times."""
        return conditions.detail(desired, self._node)

    def services(self, desired: DesiredStatus) -> Mapping[int, Hashable]:
        """Return the condition of each service."""
        return service_conditions.details(desired)

    def shows_idle(self, value: PublishedValue) -> bool:
        """Return whether the condition Idle is True."""
        return conditions.shows_idle(value)

    async def read(self, vmi: VmiId) -> Outcome:
        """Return what the companion shows: from the watch, else from the server."""
        with self._job(vmi):
            return await self._read(vmi)

    async def write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        """Create the companion if there is none, then write its status."""
        with self._job(vmi):
            return await self._write(vmi, value)

    @contextmanager
    def _job(self, vmi: VmiId) -> Iterator[None]:
        """Forget the companion at the end if the watch reported it deleted meanwhile."""
        self._gone_meanwhile[vmi] = False
        try:
            yield
        finally:
            if self._gone_meanwhile.pop(vmi):
                self._companions.pop(vmi, None)

    async def _read(self, vmi: VmiId) -> Outcome:
        companion = self._companions.get(vmi)
        if companion is None:
            try:
                companion = await self._get(vmi)
            except NotFoundError:
                return Outcome(OutcomeKind.UNCHANGED, _NOTHING)
            except KubeError as error:
                return outcomes.of_error(error)
        return Outcome(OutcomeKind.UNCHANGED, _NOTHING if companion is None else companion.value)

    async def _write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        if not self._current() and (problem := await self._not_ours(vmi)):
            return problem
        try:
            companion = self._companions.get(vmi) or await self._create(vmi)
            companion = await self._take_over(companion)
            companion = await self._patch(vmi, companion, value)
        except ConflictError as error:
            self._companions.pop(vmi, None)
            return await self._not_ours(vmi) or outcomes.of_error(error)
        except KubeError as error:
            self._companions.pop(vmi, None)
            return outcomes.of_error(error)
        if companion.value == value:
            return Outcome(OutcomeKind.WRITTEN, companion.value)
        return Outcome(
            OutcomeKind.REVERTED, companion.value, "the server took the status and answered with another one"
        )

    def learn(self, companion: companions.Companion) -> bool:
        """Take the watch's copy. Return False if it is older than the last answer."""
        known = self._companions.get(companion.vmi)
        if known is not None and companion.version < known.version:
            return False
        self._companions[companion.vmi] = companion
        return True

    def forget(self, vmi: VmiId) -> None:
        """Forget a companion: it, or its VMI, was deleted."""
        self._companions.pop(vmi, None)
        if vmi in self._gone_meanwhile:
            self._gone_meanwhile[vmi] = True

    def distrust(self) -> None:
        """Take the watch's next copy of each companion, even if it is older than the last answer."""
        self._companions = {vmi: known._replace(version=0) for vmi, known in self._companions.items()}

    def known(self) -> list[VmiId]:
        """Return the VMIs whose companion was seen."""
        return list(self._companions)

    async def _get(self, vmi: VmiId) -> companions.Companion | None:
        """Return the companion of this VMI; None if it belongs to a former one of the same name."""
        companion = companions.parse(await self._client.get(_path(vmi)))
        if companion is None or companion.vmi != vmi:
            return None
        self.learn(companion)
        return self._companions[vmi]

    async def _create(self, vmi: VmiId) -> companions.Companion:
        try:
            return self._accept(vmi, await self._client.post(_path(vmi, name=False), self._manifest(vmi)))
        except ConflictError:
            pass
        found = companions.parse(await self._client.get(_path(vmi)))
        if found is not None and found.vmi == vmi:
            self.learn(found)
            return found
        if found is not None:
            await self._remove(found)
        return self._accept(vmi, await self._client.post(_path(vmi, name=False), self._manifest(vmi)))

    async def _remove(self, former: companions.Companion) -> None:
        """Delete the companion of a former VMI, so that its successor need not wait for the garbage collector.

        It may have another node's label, and the admission policy lets a handler delete only companions with its own.
        """
        await self._take_over(former)
        await self._client.delete(_path(former.vmi), {"preconditions": {"uid": former.uid}})
        self.forget(former.vmi)

    async def _take_over(self, companion: companions.Companion) -> companions.Companion:
        """Set the label to this node: after a migration it names the former one."""
        if companion.label == self._node:
            return companion
        metadata = {"labels": {companions.NODE_LABEL: self._node}, "resourceVersion": companion.resource_version}
        return self._accept(
            companion.vmi, await self._client.patch(_path(companion.vmi), {"metadata": metadata}, MERGE_PATCH)
        )

    async def _patch(self, vmi: VmiId, companion: companions.Companion, value: PublishedValue) -> companions.Companion:
        body = {
            "metadata": {"resourceVersion": companion.resource_version},
            "status": companions.status(vmi, value, companion.conditions, self._wall()),
        }
        return self._accept(vmi, await self._client.patch(f"{_path(vmi)}/status", body, MERGE_PATCH))

    async def _not_ours(self, vmi: VmiId) -> Outcome | None:
        """Read the VMI itself, and return an outcome if this handler no longer owns it.

        It is called after another writer's write, and while the watches fail. Otherwise the handler of a node that a VM
        has left could publish a zero for it.
        """
        try:
            current = vmis.parse(await self._client.get(vmis.path(vmi)))
        except KubeError as problem:
            return outcomes.of_error(problem)
        if current is None or current.id != vmi or current.node != self._node:
            return Outcome(OutcomeKind.GONE, message="the VMI runs elsewhere, or is another object by now")
        return None

    def _manifest(self, vmi: VmiId) -> dict[str, object]:
        return companions.manifest(vmi, self._node)

    def _accept(self, vmi: VmiId, answer: dict[str, object]) -> companions.Companion:
        companion = companions.parse(answer)
        if companion is None or companion.vmi != vmi:
            raise ConflictError("the answer is not this VMI's companion")
        if self.learn(companion):  # the watch may have shown a later write before this answer arrived
            self._written(companion)
        return companion


def _path(vmi: VmiId, *, name: bool = True) -> str:
    base = f"/apis/{companions.API_VERSION}/namespaces/{vmi.namespace}/{companions.PLURAL}"
    return f"{base}/{vmi.name}" if name else base
