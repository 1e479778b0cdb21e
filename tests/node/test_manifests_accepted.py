"""A real API server accepts the manifests without a warning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kinds import CRD, define_kinds
from tests.cluster.tools import REPOSITORY
from tests.cluster.workloads import Workloads
from tests.node.manifests import MANIFESTS, NAMESPACE, WEBHOOK, overlay

ALL = [
    "injection",
    "injection-opt-in",
    "injection-webhook",
    "injection-webhook-opt-in",
    "vmi-status",
    "polling",
    "guard-companion-owner",
    "monitoring",
    "selinux",
    "openshift",
]
KINDS = REPOSITORY / "tests/cluster/manifests"
OPERATOR = KINDS / "prometheus-operator"


@pytest.fixture(scope="module")
def project_namespace(cluster: Workloads) -> Iterator[None]:
    """A dry run does not see a namespace or a kind that is only in the run."""
    before = cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name")
    if not before:
        define_kinds(cluster.kubectl)
        cluster.kubectl("create", "namespace", NAMESPACE)
    yield
    if not before:
        cluster.kubectl("delete", "namespace", NAMESPACE)
        cluster.kubectl.delete("-k", CRD)


@pytest.fixture(scope="module")
def operator_kinds(cluster: Workloads) -> Iterator[None]:
    """PodMonitor and PrometheusRule: their CRDs without a schema, unless the operator that uses them is here."""
    if cluster.kubectl("get", "crd", "podmonitors.monitoring.coreos.com", "--ignore-not-found", "--output=name"):
        yield
        return
    cluster.kubectl("apply", "--server-side", "-k", OPERATOR)
    kinds = [f"crd/{kind}.monitoring.coreos.com" for kind in ("podmonitors", "prometheusrules")]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *kinds)
    yield
    cluster.kubectl.delete("-k", OPERATOR)


@pytest.fixture(scope="module")
def other_kinds(cluster: Workloads) -> Iterator[None]:
    """Those of OpenShift and of cert-manager, neither of which is here."""
    for folder in ("openshift", "cert-manager"):
        cluster.kubectl("apply", "--server-side", "-k", KINDS / folder)
    kinds = (
        "securitycontextconstraints.security.openshift.io",
        "certificates.cert-manager.io",
        "issuers.cert-manager.io",
    )
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{kind}" for kind in kinds))
    yield
    for folder in ("openshift", "cert-manager"):
        cluster.kubectl.delete("-k", KINDS / folder)


@pytest.mark.parametrize("name", ["kubevirt", "kubevirt-webhook", "test-node"])
def test_an_overlay_is_accepted(cluster: Workloads, project_namespace: None, name: str) -> None:
    """Every object is valid, and none causes a warning about a Pod Security Standard or an old version."""
    dry = ("apply", "--server-side", "--dry-run=server", "--warnings-as-errors")
    applied = cluster.kubectl(*dry, "-k", MANIFESTS / "overlays" / name)
    assert "daemonset.apps/vmi-service-status-handler serverside-applied (server dry run)\n" in applied


@pytest.mark.parametrize(
    "components",
    [
        *([component] for component in ALL),
        ["injection", WEBHOOK],
        [WEBHOOK, f"{WEBHOOK}/cert-manager"],
        [f"{WEBHOOK}-opt-in", f"{WEBHOOK}/cert-manager"],
        ["openshift", WEBHOOK, f"{WEBHOOK}/openshift"],
    ],
    ids="+".join,
)
def test_components_are_accepted(
    cluster: Workloads,
    project_namespace: None,
    operator_kinds: None,
    other_kinds: None,
    components: list[str],
    tmp_path: Path,
) -> None:
    """On the base."""
    folder = overlay(tmp_path, {"components": components})
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "--warnings-as-errors", "-k", folder)
