"""The kinds that the project's manifests have objects of: applied before all else, as docs/install.md has it."""

from tests.cluster.kubectl import Kubectl
from tests.cluster.tools import REPOSITORY

CRD = REPOSITORY / "manifests" / "crd"
_TIMEOUT = 60.0


def define_kinds(kubectl: Kubectl) -> None:
    """Return when they are served."""
    kubectl("apply", "--server-side", "-k", CRD)
    kind = "crd/launcheragenttemplates.servicestatus.kubevirt.io"
    kubectl("wait", "--for=condition=Established", kind, f"--timeout={_TIMEOUT:g}s", timeout=_TIMEOUT + 10)
