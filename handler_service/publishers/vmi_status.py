"""Publishes into the VMI itself: `status.serviceStatus.vncSessions`, as VEP #119 defines it, and a number beside it for
each other service for which the VMI's schema has a field.

A VMI has no status subresource, and a write wakes KubeVirt's controllers. The patch is a JSON patch whose tests are the
preconditions: the object is still the same, and still runs on this node. A resourceVersion would fail whenever KubeVirt
writes, which is often, and would protect nothing more. Only our own field is ever sent.

The server may answer 200 without applying the patch: a schema without the field drops it, and KubeVirt's webhook
restores the status. So the answer is compared with the desired value.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Any, Final

from handler_service.kube import vmi as vmis
from handler_service.kube.client import JSON_PATCH, KubeClient
from handler_service.kube.errors import InvalidError, KubeError
from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId
from handler_service.publishers import outcomes
from handler_service.services import BY_NUMBER

_FIELD: Final = "/status/serviceStatus"
_OWN_FIELDS: Final = frozenset({"vncSessions", *(one.field for one in BY_NUMBER.values())})


class VmiStatusPublisher:
    """Writes the VMI's own status."""

    name = "vmi-status"

    def __init__(
        self,
        client: KubeClient,
        node: str,
        known: Callable[[VmiId], vmis.Vmi | None],
        schema_knows: Callable[[], Awaitable[bool | None]],
        schema_services: Callable[[], Collection[int]] = frozenset,
    ) -> None:
        """`known` is the watch's newest copy of a VMI.

        `schema_knows` returns whether the field is kept, and `schema_services` for which other services there is one.
        """
        self._client = client
        self._node = node
        self._known = known
        self._schema_knows = schema_knows
        self._schema_services = schema_services
        self._doubtful: set[VmiId] = set()
        self._answered: dict[VmiId, int] = {}

    def detail(self, desired: DesiredStatus) -> Hashable:  # noqa: ARG002  # the interface's; the field shows no more
        """Return nothing: only the number is shown."""
        return None

    def services(self, desired: DesiredStatus) -> Mapping[int, Hashable]:  # noqa: ARG002  # as above
        """Return the services that the VMI's schema has a field for."""
        return dict.fromkeys(self._schema_services())

    def shows_idle(self, value: PublishedValue) -> bool:
        """Return whether the field is absent."""
        return not value.sessions

    async def read(self, vmi: VmiId) -> Outcome:
        """From the watch's copy; from the server where that is older than the last answer, or a write failed."""
        known = self._known(vmi)
        if known is None or vmi in self._doubtful or self.stale(known):
            try:
                known = vmis.parse(await self._client.get(vmis.path(vmi)))
            except KubeError as error:
                return outcomes.of_error(error)
        if known is None or known.id != vmi:
            return Outcome(OutcomeKind.GONE, message="the VMI is another object by now")
        self._doubtful.discard(vmi)
        self._answered[vmi] = known.version
        return Outcome(OutcomeKind.UNCHANGED, known.published)

    async def write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        """One patch."""
        knows = await self._schema_knows()
        if knows is False:
            return Outcome(
                OutcomeKind.PRUNED, PublishedValue(0), "the VMI's schema has no status.serviceStatus.vncSessions"
            )
        try:
            answer = await self._client.patch(vmis.path(vmi), self._patch(vmi, value), JSON_PATCH)
        except InvalidError as error:
            self._doubtful.add(vmi)
            return Outcome(OutcomeKind.CONFLICT, message=f"the VMI is another object, or runs elsewhere: {error}")
        except KubeError as error:
            self._doubtful.add(vmi)
            return outcomes.of_error(error)
        return self._compared(vmi, value, answer, pruned=not knows)

    def stale(self, vmi: vmis.Vmi) -> bool:
        """Whether a watch's copy says nothing that the last answer did not: it is older, or this handler's own write.

        The latter need not look like the answer. While the schema changes, a watch that began before goes on showing
        objects by the former one, without the field.
        """
        return vmi.version <= self._answered.get(vmi.id, 0)

    def distrust(self) -> None:
        """What was answered so far proves nothing about what a watch shows from now on."""
        self._answered.clear()

    def forget(self, vmi: VmiId) -> None:
        """The VMI is not ours any more."""
        self._doubtful.discard(vmi)
        self._answered.pop(vmi, None)

    def _patch(self, vmi: VmiId, value: PublishedValue) -> list[dict[str, Any]]:
        known = self._known(vmi)
        kept = {} if known is None else {k: v for k, v in known.service_status.items() if k not in _OWN_FIELDS}
        own = {"vncSessions": value.sessions} | {BY_NUMBER[one.service].field: one.sessions for one in value.services}
        field_value = kept | {field: number for field, number in own.items() if number}
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": vmi.uid},
            {"op": "test", "path": "/status/nodeName", "value": self._node},
            {"op": "add", "path": _FIELD, "value": field_value},
        ]
        # At zero a field is absent, and without any field so is their parent. It was just added, so that the removal
        # finds it whatever was there.
        return patch if field_value else [*patch, {"op": "remove", "path": _FIELD}]

    def _compared(self, vmi: VmiId, value: PublishedValue, answer: Any, *, pruned: bool) -> Outcome:
        known = vmis.parse(answer)
        if known is None or known.id != vmi:
            self._doubtful.add(vmi)
            return Outcome(OutcomeKind.ERROR, message="the answer is not this VMI")
        self._answered[vmi] = known.version
        held = known.published
        if held == value:
            return Outcome(OutcomeKind.WRITTEN, held)
        if not held.sessions and pruned:
            return Outcome(OutcomeKind.PRUNED, held, "the server took the patch and dropped the field")
        return Outcome(OutcomeKind.REVERTED, held, f"the server took the patch and answered with {_numbers(held)}")


def _numbers(value: PublishedValue) -> str:
    others = "".join(f", {one.sessions} {BY_NUMBER[one.service].field}" for one in value.services)
    return f"{value.sessions}{others}"
