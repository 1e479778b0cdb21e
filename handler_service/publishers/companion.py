"""Publishes into an object of our own beside the VMI: the way that works on a stock KubeVirt.

Preconditions: a resourceVersion on every status write, since nobody but the handlers writes a companion, so a conflict
means that another node's handler has taken it over, or that it is another object. The loser looks at the VMI itself,
and only the handler of `status.nodeName` tries again.

Invariants: an answer never brings back what a watch has told to be gone while it was under way; nothing is written for
a VMI that may have moved on unseen.
"""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from handler_service.kube import companion as companions
from handler_service.kube import vmi as vmis
from handler_service.kube.client import MERGE_PATCH, KubeClient
from handler_service.kube.errors import ConflictError, KubeError, NotFoundError
from handler_service.model import Outcome, OutcomeKind, Shown, Standing, VmiId
from handler_service.publishers import outcomes

#: What a VMI without a companion shows.
_NOTHING: Final = Shown(0, None)


class CompanionPublisher:
    """Writes `VirtualMachineInstanceServiceStatus` objects."""

    name = "companion"

    def __init__(
        self, client: KubeClient, node: str, current: Callable[[], bool], wall: Callable[[], float] = time.time
    ) -> None:
        """`node` is the one whose VMIs are published; `current` says whether the watches of VMIs work."""
        self._client = client
        self._node = node
        self._current = current
        self._wall = wall
        self._held: dict[VmiId, companions.Held] = {}
        #: Whose job is under way, and whether the companion was told to be gone meanwhile.
        self._gone_meanwhile: dict[VmiId, bool] = {}

    def detail(self, standing: Standing) -> Hashable:
        """Conditions and times."""
        return companions.detail(standing, self._node)

    async def read(self, vmi: VmiId) -> Outcome:
        """What the companion shows: as the watch knows it, else from the server."""
        with self._job(vmi):
            return await self._read(vmi)

    async def write(self, vmi: VmiId, shown: Shown) -> Outcome:
        """Create it if need be, then write its status."""
        with self._job(vmi):
            return await self._write(vmi, shown)

    @contextmanager
    def _job(self, vmi: VmiId) -> Iterator[None]:
        """One at a time for each VMI."""
        self._gone_meanwhile[vmi] = False
        try:
            yield
        finally:
            if self._gone_meanwhile.pop(vmi):
                self._held.pop(vmi, None)

    async def _read(self, vmi: VmiId) -> Outcome:
        held = self._held.get(vmi)
        if held is None:
            try:
                held = await self._get(vmi)
            except NotFoundError:
                return Outcome(OutcomeKind.UNCHANGED, _NOTHING)
            except KubeError as error:
                return outcomes.of_error(error)
        return Outcome(OutcomeKind.UNCHANGED, _NOTHING if held is None else held.shown)

    async def _write(self, vmi: VmiId, shown: Shown) -> Outcome:
        if not self._current() and (problem := await self._not_ours(vmi)):
            return problem
        try:
            held = self._held.get(vmi) or await self._create(vmi)
            held = await self._take_over(held)
            held = await self._patch(vmi, held, shown)
        except ConflictError as error:
            self._held.pop(vmi, None)
            return await self._not_ours(vmi) or outcomes.of_error(error)
        except KubeError as error:
            self._held.pop(vmi, None)
            return outcomes.of_error(error)
        if held.shown == shown:
            return Outcome(OutcomeKind.WRITTEN, held.shown)
        return Outcome(OutcomeKind.REVERTED, held.shown, "the server took the status and answered with another one")

    def learn(self, held: companions.Held) -> bool:
        """A watch's copy. False when it is older than the last answer, and so says nothing new."""
        known = self._held.get(held.vmi)
        if known is not None and held.version < known.version:
            return False
        self._held[held.vmi] = held
        return True

    def forget(self, vmi: VmiId) -> None:
        """The companion, or its VMI, is gone."""
        self._held.pop(vmi, None)
        if vmi in self._gone_meanwhile:
            self._gone_meanwhile[vmi] = True

    def known(self) -> list[VmiId]:
        """The VMIs whose companion was seen."""
        return list(self._held)

    async def _get(self, vmi: VmiId) -> companions.Held | None:
        """The companion of this very VMI; None where it is that of a former one."""
        held = companions.parse(await self._client.get(_path(vmi)))
        if held is None or held.vmi != vmi:
            return None
        self.learn(held)
        return self._held[vmi]

    async def _create(self, vmi: VmiId) -> companions.Held:
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

    async def _remove(self, former: companions.Held) -> None:
        """A former VMI's: the garbage collector is on its way, but its successor need not wait for it.

        It may bear another node's label, and the admission policy lets a handler delete only what bears its own.
        """
        await self._take_over(former)
        await self._client.delete(_path(former.vmi), {"preconditions": {"uid": former.uid}})
        self.forget(former.vmi)

    async def _take_over(self, held: companions.Held) -> companions.Held:
        """After a migration the label names the former node."""
        if held.label == self._node:
            return held
        metadata = {"labels": {companions.NODE_LABEL: self._node}, "resourceVersion": held.resource_version}
        return self._accept(held.vmi, await self._client.patch(_path(held.vmi), {"metadata": metadata}, MERGE_PATCH))

    async def _patch(self, vmi: VmiId, held: companions.Held, shown: Shown) -> companions.Held:
        body = {
            "metadata": {"resourceVersion": held.resource_version},
            "status": companions.status(vmi, shown, held.conditions, self._wall()),
        }
        return self._accept(vmi, await self._client.patch(f"{_path(vmi)}/status", body, MERGE_PATCH))

    async def _not_ours(self, vmi: VmiId) -> Outcome | None:
        """Whether this handler still owns the VMI, by the VMI itself. Asked where somebody else wrote, or watches fail.

        Else the handler of a node that a VM has left could say that nobody watches it.
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

    def _accept(self, vmi: VmiId, answer: dict[str, object]) -> companions.Held:
        held = companions.parse(answer)
        if held is None or held.vmi != vmi:
            raise ConflictError("the answer is not this VMI's companion")
        self._held[vmi] = held
        return held


def _path(vmi: VmiId, *, name: bool = True) -> str:
    base = f"/apis/{companions.API_VERSION}/namespaces/{vmi.namespace}/{companions.PLURAL}"
    return f"{base}/{vmi.name}" if name else base
