"""What tests do to a cluster as its admin, alike for a bare control plane and for one with nodes."""

import json
import uuid
from pathlib import Path
from typing import cast

from testbed.waiting import wait_until
from tests.cluster.api import Api
from tests.cluster.kubectl import Kubectl
from tests.cluster.objects import Object

# The account appears within 0.1 s of its namespace, unless the controller manager has just been started.
ACCOUNT_TIMEOUT = 60.0


class Administrator:
    """The admin's side of a cluster, which need not be up before it is used."""

    def __init__(self, kubeconfig: Path, cache: Path) -> None:
        """`cache` is kubectl's."""
        self.kubeconfig = kubeconfig
        self.kubectl = Kubectl(kubeconfig, cache)

    @property
    def _api(self) -> Api:
        return Api(self.kubeconfig)

    def has_account(self, namespace: str) -> bool:
        """Whether pods can be created in a namespace: it has its default service account."""
        return self.kubeconfig.exists() and self._api.has(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")

    def create(self, manifest: Object) -> Object:
        """Creates one object and returns it as the API server has stored it."""
        created = self.kubectl("create", "--output=json", "--filename=-", input=json.dumps(manifest))
        return cast("Object", json.loads(created))

    def create_namespace(self, prefix: str = "test") -> str:
        """A new namespace in which pods can be created."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        there = f"{name} has its service account"
        wait_until(lambda: self.has_account(name), what=there, timeout=ACCOUNT_TIMEOUT, interval=0.02)
        return name

    def delete_namespace(self, name: str) -> None:
        """Asks for the end of a namespace, and does not wait for it."""
        self.kubectl("delete", "namespace", name, "--wait=false")

    def token(self, namespace: str, account: str, *, pod: str | None = None) -> str:
        """A service account's token as kubelet asks for it: bound to a pod, it names that pod and its node."""
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
        return self.kubectl("create", "token", account, f"--namespace={namespace}", *bound).strip()
