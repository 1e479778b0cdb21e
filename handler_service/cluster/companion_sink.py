"""Takes the companions of this node from their list-watch."""

from typing import Final

from handler_service.cluster.vouching import Vouching
from handler_service.kube import companion as companions
from handler_service.kube.client import Object
from handler_service.model import PublishedValue, VmiId
from handler_service.publishers.companion import CompanionPublisher
from handler_service.publishing.worker import PublishWorker

#: The value of a VMI without a companion.
_NOTHING: Final = PublishedValue(0, None)


class CompanionSink:
    """Passes the published values of this node's companions to the publish worker."""

    def __init__(
        self, publisher: CompanionPublisher, worker: PublishWorker, vouching: Vouching, *, leased: bool
    ) -> None:
        """`leased`: this handler renews a Lease, so it replaces the controller's marks when it is back."""
        self._publisher = publisher
        self._worker = worker
        self._vouching = vouching
        self._leased = leased

    def listed(self, objects: list[Object]) -> None:
        found = {companion.vmi for companion in map(companions.parse, objects) if companion is not None}
        for vmi in self._publisher.known():
            if vmi not in found:
                self._gone(vmi)
        self._vouching.listed(found)
        for object_ in objects:
            self.changed(object_)

    def changed(self, object_: Object) -> None:
        companion = companions.parse(object_)
        if companion is not None and self._publisher.learn(companion):
            self._vouching.shown(companion)
            # A mark of the controller is corrected at once. Corrections of a foreign writer's changes are rate limited.
            expected = self._leased and companions.is_marked(companion)
            self._worker.seen(companion.vmi, companion.value, foreign=not expected)

    def deleted(self, object_: Object) -> None:
        companion = companions.parse(object_)
        if companion is not None:
            self._gone(companion.vmi)

    def _gone(self, vmi: VmiId) -> None:
        self._publisher.forget(vmi)
        self._vouching.gone(vmi)
        self._worker.seen(vmi, _NOTHING)
