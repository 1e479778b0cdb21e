"""What tests do to a cluster as its administrator, both to a bare control plane and to a cluster with nodes."""

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
    """The administrator's methods of a cluster; the cluster need not be up before the first call."""

    def __init__(self, kubeconfig: Path, cache: Path) -> None:
        """`cache` is kubectl's."""
        self.kubeconfig = kubeconfig
        self.kubectl = Kubectl(kubeconfig, cache)

    @property
    def _api(self) -> Api:
        return Api(self.kubeconfig)

    def has_account(self, namespace: str) -> bool:
        """Return whether pods can be created in a namespace, which requires its default service account."""
        return self.kubeconfig.exists() and self._api.has(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")

    def create(self, manifest: Object) -> Object:
        """Create one object and return it as the API server has stored it."""
        created = self.kubectl("create", "--output=json", "--filename=-", input=json.dumps(manifest))
        return cast("Object", json.loads(created))

    def create_namespace(self, prefix: str = "test") -> str:
        """Create a namespace and wait until pods can be created in it."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        there = f"{name} has its service account"
        wait_until(lambda: self.has_account(name), what=there, timeout=ACCOUNT_TIMEOUT, interval=0.02)
        return name

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace without waiting for its end."""
        self.kubectl("delete", "namespace", name, "--wait=false")

    def token(self, namespace: str, account: str, *, pod: str | None = None) -> str:
        """Return a service account's token like a kubelet's: bound to a pod, it names that pod and its node."""
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
        return self.kubectl("create", "token", account, f"--namespace={namespace}", *bound).strip()
