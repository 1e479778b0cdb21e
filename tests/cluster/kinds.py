"""The kinds that the project's manifests have objects of: applied before all else, as docs/install.md has it."""

from testbed.waiting import wait_until
from tests.cluster.kubectl import Kubectl
from tests.cluster.tools import REPOSITORY

CRD = REPOSITORY / "manifests" / "crd"
_GROUP = "servicestatus.kubevirt.io"
_TIMEOUT = 60.0


def define_kinds(kubectl: Kubectl) -> None:
    """Return when they are served, and in the list of kinds that kubectl keeps.

    The API server lists a kind for clients a moment after it is Established.
    """
    kubectl("apply", "--server-side", "-k", CRD)
    kinds = ("launcheragenttemplates", "virtualmachineinstanceservicestatuses")
    crds = [f"crd/{kind}.{_GROUP}" for kind in kinds]
    kubectl("wait", "--for=condition=Established", *crds, f"--timeout={_TIMEOUT:g}s", timeout=_TIMEOUT + 10)

    def listed() -> bool:
        known = kubectl("api-resources", f"--api-group={_GROUP}", "--output=name", check=False)
        return all(f"{kind}.{_GROUP}" in known for kind in kinds)

    wait_until(listed, what=f"kubectl knows the kinds of {_GROUP}", timeout=_TIMEOUT, interval=0.2)
