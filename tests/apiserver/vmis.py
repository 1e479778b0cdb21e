"""A VMI of a test: what KubeVirt writes to it, and what can be read from it and from its companion."""

import http
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from testbed.waiting import TIMEOUT, wait_until
from tests.apiserver.client import ApiError, Client, Recorder
from tests.cluster.objects import Object, virtual_machine_instance

NODE_LABEL = "kubevirt.io/nodeName"
TARGET_LABEL = "kubevirt.io/migrationTargetNodeName"

Told = tuple[int | None, str, str, str]
"""vncSessions, Idle, Observed, and the reason of Observed."""


def new_uid() -> str:
    return str(uuid.uuid4())


class Vmi:
    """One name in one namespace. Its methods do KubeVirt's writes, with an administrator's rights."""

    def __init__(self, client: Client, namespace: str, name: str = "vm") -> None:
        self._client = client
        self.namespace = namespace
        self.name = name
        self.uid = ""
        self.pod = ""
        #: The directory of its pod, where a test has made one.
        self.socket = Path()
        self.path = f"/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}"
        companions = f"/apis/servicestatus.kubevirt.io/v1alpha1/namespaces/{namespace}"
        self.companion_path = f"{companions}/virtualmachineinstanceservicestatuses/{name}"

    # --- what KubeVirt does ---

    def create(
        self,
        node: str,
        *,
        pods: Mapping[str, str] | None = None,
        phase: str = "Running",
        spec: Mapping[str, Any] | None = None,
    ) -> Self:
        """Create a VM on a node. Without `pods` it has one launcher pod there, `pod`, with a new UID."""
        if pods is None:
            self.pod = new_uid()
            pods = {self.pod: node}
        manifest = virtual_machine_instance(
            self.name, self.namespace, spec=spec, status={"phase": phase, "nodeName": node, "activePods": dict(pods)}
        )
        manifest["metadata"]["labels"] = {NODE_LABEL: node}
        self.uid = self._client.post(self.path.rpartition("/")[0], manifest)["metadata"]["uid"]
        return self

    def patch(self, *, labels: Mapping[str, str | None] | None = None, **status: Any) -> None:
        """Send a merge patch, in one write, as KubeVirt does."""
        patch: Object = {"status": status} if status else {}
        if labels:
            patch["metadata"] = {"labels": dict(labels)}
        self._client.patch(self.path, patch)

    def put_typed(self, **status: Any) -> None:
        """Write like virt-handler: a full PUT of what it read into types without serviceStatus."""
        while True:
            whole = self.object()
            whole["status"].pop("serviceStatus", None)
            whole["status"] |= status
            try:
                self._client.put(self.path, whole)
            except ApiError as error:
                if error.code != http.HTTPStatus.CONFLICT:
                    raise
            else:
                return

    def delete(self) -> None:
        self._client.delete(self.path)

    # --- what is published ---

    def object(self) -> Object:
        return self._client.get(self.path)

    def service_status(self) -> Any:
        """Return `status.serviceStatus`, or None if it is absent."""
        return service_status(self.object())

    def companion(self) -> Object | None:
        return self._client.find(self.companion_path)

    def told(self) -> Told | None:
        """Return the summary of the companion; None if there is none."""
        found = self.companion()
        return None if found is None else told(found)

    def wait_for(self, sessions: int, timeout: float = TIMEOUT) -> None:
        """Wait until the VMI's own status shows this number, in the form of VEP #119."""
        wanted = {"vncSessions": sessions} if sessions else None
        what = f"{self.name}: status.serviceStatus is {wanted}"
        wait_until(self.service_status, lambda seen: seen == wanted, what=what, timeout=timeout)

    def wait_told(self, wanted: Told, timeout: float = TIMEOUT) -> None:
        """Wait until the companion has this summary."""
        wait_until(self.told, lambda seen: seen == wanted, what=f"{self.name}: {wanted}", timeout=timeout)

    def record(self) -> Recorder:
        """Of the VMI."""
        return Recorder(self._client, self.path.rpartition("/")[0], {"fieldSelector": f"metadata.name={self.name}"})

    def record_companion(self) -> Recorder:
        path = self.companion_path.rpartition("/")[0]
        return Recorder(self._client, path, {"fieldSelector": f"metadata.name={self.name}"})


def service_status(vmi: Object) -> Any:
    """Return what `kubectl get -o jsonpath={.status.serviceStatus}` prints."""
    return vmi.get("status", {}).get("serviceStatus")


def told(companion: Object) -> Told:
    """Return the summary of a companion."""
    status = companion.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    observed = conditions.get("Observed", {})
    idle = conditions.get("Idle", {}).get("status", "")
    return status.get("vncSessions"), idle, observed.get("status", ""), observed.get("reason", "")


def keeps_service_status(client: Client) -> bool:
    """Return whether a VMI that is created with a serviceStatus keeps it."""
    probe = virtual_machine_instance("probe", "default", status={"serviceStatus": {"vncSessions": 1}})
    created = client.post("/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances?dryRun=All", probe)
    return service_status(created) is not None


def seen(sessions: int) -> Told:
    """The summary of a companion while an agent observes."""
    return (sessions or None, "False" if sessions else "True", "True", "Watching")


def unknown(sessions: int, reason: str) -> Told:
    """The summary of a companion that is not observed; the number is the last one known."""
    return (sessions or None, "Unknown", "False", reason)
