"""The project's kinds: applied before all else, as docs/install.md has it."""

from tests.cluster.kubectl import Kubectl
from tests.cluster.tools import REPOSITORY

CRD = REPOSITORY / "manifests" / "crd"
_TIMEOUT = 60.0


def define_kinds(kubectl: Kubectl) -> None:
    """Return when they are served."""
    kubectl("apply", "--server-side", "-k", CRD)
    kinds = ("crd", "--selector=app.kubernetes.io/name=vmi-service-status")
    kubectl("wait", "--for=condition=Established", *kinds, f"--timeout={_TIMEOUT:g}s", timeout=_TIMEOUT + 10)
