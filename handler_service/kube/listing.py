"""Lists a set of objects in pages of a bounded size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from handler_service.kube.client import KubeClient, Object
from handler_service.kube.errors import PageTooLargeError, ServerError

#: Only names, labels and versions of objects, for objects whose body is large and rarely read.
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
JSON: Final = "application/json"
#: Objects in one page of a list. A node has about 250 VMs, so its list takes 25 short requests, at the start and after
#: an outage.
PAGE: Final = 10
#: Bytes of a page with more than one object; a larger one is asked for again with fewer objects. Users decide on the
#: size of a VMI and of its annotations, up to 1.5 MB. The text of a page is in memory as a whole, and has four times as
#: many bytes there if it contains one emoji.
MAX_PAGE: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects the objects to follow."""

    #: For example `/apis/kubevirt.io/v1/virtualmachineinstances`.
    path: str
    #: labelSelector, fieldSelector.
    query: Mapping[str, str] = field(default_factory=dict)
    metadata_only: bool = False
    #: Objects in one page of a list, at most.
    page: int = PAGE
    #: What a 404 means, for the log.
    missing: str = ""
    #: Returns the part of an object that the sink needs. It is applied to each page at once, because the objects stay
    #: in memory until the last page has arrived.
    keep: Callable[[Object], Object] = lambda object_: object_


async def list_all(client: KubeClient, selection: Selection) -> tuple[list[Object], str]:
    """Return all objects, each as `selection.keep` leaves it, and the version of the list; raises KubeError."""
    objects: list[Object] = []
    query, limit = dict(selection.query), selection.page
    while True:
        accept = METADATA_ONLY if selection.metadata_only else JSON
        most = MAX_PAGE if limit > 1 else None
        try:
            page, metadata = await client.get_page(
                selection.path, {**query, "limit": str(limit)}, accept, selection.keep, most
            )
        except PageTooLargeError:
            limit = max(1, limit // 4)
            continue
        limit = min(limit * 2, selection.page)
        objects += page
        if not metadata.get("continue"):
            break
        query["continue"] = metadata["continue"]
    version = str(metadata.get("resourceVersion", ""))
    if not version:
        raise ServerError(f"{selection.path}: the list has no resourceVersion")
    return objects, version
