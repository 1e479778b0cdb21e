"""After an uninstallation in any order, another installation injects its own image; no kube-apiserver is restarted.

It follows the template only while a policy has its kind as a parameter. What it remembers afterwards, and whether it
begins again, is what is tested here: docs/decisions/0012.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.apiserver.injection.pods import AGENT, Cluster, agents_of, launcher
from tests.apiserver.injection.policies import IN_FORCE, apply, as_list, built
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kinds import CRD, define_kinds
from tests.cluster.objects import Object

POLICY = ("mutatingadmissionpolicy", "vmi-service-status-injection")
BINDING = ("mutatingadmissionpolicybinding", "vmi-service-status-injection")
TEMPLATE = ("launcheragenttemplate", "vmi-service-status-launcher-agent", "--namespace=vmi-service-status")
KIND = ("crd", "launcheragenttemplates.servicestatus.kubevirt.io")
# What an admin may delete before the rest.
FIRST: tuple[tuple[tuple[str, ...], ...], ...] = (
    (),
    (TEMPLATE,),
    (KIND,),
    (POLICY,),
    (POLICY, BINDING, TEMPLATE),
    (BINDING, KIND),
)
# It takes 2 s; a busy machine takes longer.
TIMEOUT = 90.0


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as running:
        running.kubectl("create", "namespace", "vmi-service-status")
        yield running


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane) -> Iterator[Cluster]:
    with contextlib.closing(Client(plane.kubeconfig)) as client:
        yield Cluster(client, "default")


class Policy:
    """What the project injects with, under a name of the agent's image."""

    def __init__(self, plane: ControlPlane, cluster: Cluster, folder: Path) -> None:
        self._plane = plane
        self._cluster = cluster
        kinds = list(yaml.safe_load_all(plane.kubectl("kustomize", CRD)))
        self._objects: list[Object] = [*kinds, *built(plane, folder, "injection")]

    def install(self, image: str) -> None:
        """Return when launcher pods have this image. In the meantime they have none."""
        define_kinds(self._plane.kubectl)
        (template,) = (thing for thing in self._objects if thing["kind"] == "LauncherAgentTemplate")
        template["spec"]["containers"][0]["image"] = image
        apply(self._plane, self._objects)
        agents = wait_until(
            lambda: agents_of(self._cluster.created(launcher())),
            what=f"{image} is injected",
            timeout=TIMEOUT,
            interval=IN_FORCE,
            retry_on=(ApiError,),
        )
        assert agents == [{**AGENT, "image": image}]

    def uninstall(self, first: Sequence[Sequence[str]]) -> None:
        """Return when pods get no agent any more. None is rejected, whatever the policy still lacks."""
        for thing in first:
            self._plane.kubectl.delete(*thing)
        if first:
            self._wait_without_agents()
        self._plane.kubectl.delete("--filename=-", "--ignore-not-found", input=as_list(self._objects), wait=TIMEOUT)
        self._wait_without_agents()

    def _wait_without_agents(self) -> None:
        wait_until(
            lambda: agents_of(self._cluster.created(launcher())),
            lambda seen: seen == [],
            what="pods are injected no more",
            interval=IN_FORCE,
        )


@pytest.mark.timeout(1200)
def test_another_installation_injects_its_own_image(plane: ControlPlane, cluster: Cluster, tmp_path: Path) -> None:
    """And never the former one, even for a moment."""
    policy = Policy(plane, cluster, tmp_path)
    for number, first in enumerate(FIRST):
        policy.install(f"agent.invalid/agent:{number}")
        policy.uninstall(first)
    policy.install("agent.invalid/agent:last")
