"""The policy as v1beta1, for an API server of Kubernetes 1.34 or 1.35 whose admin may set its flags.

What is here is a newer one that still serves v1beta1 where it is asked to.
"""

import contextlib
from pathlib import Path

from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.apiserver.identities import BASE
from tests.apiserver.injection.pods import AGENT, INJECT, Cluster, agents_of, launcher
from tests.apiserver.injection.policies import IN_FORCE, apply, built
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import STOCK

FLAGS = (
    "--feature-gates=MutatingAdmissionPolicy=true",
    "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
)


def test_the_policy_injects_as_v1beta1(tmp_path: Path) -> None:
    """With both flags; the component changes nothing else of it."""
    with ControlPlane(resources=[STOCK, BASE], apiserver_flags=FLAGS) as plane:
        objects = built(plane, tmp_path, "injection-v1beta1")
        policies = [thing for thing in objects if thing["kind"].startswith("MutatingAdmission")]
        assert {thing["apiVersion"] for thing in policies} == {"admissionregistration.k8s.io/v1beta1"}
        apply(plane, policies)
        with contextlib.closing(Client(plane.kubeconfig)) as client:
            cluster = Cluster(client, "default")
            wait_until(
                lambda: agents_of(cluster.created(launcher())),
                lambda seen: seen == [AGENT],
                what="pods are injected",
                interval=IN_FORCE,
                retry_on=(ApiError,),
            )
            assert agents_of(cluster.created(launcher({INJECT: "false"}))) == []
