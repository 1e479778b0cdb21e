"""The policy is in force, as shipped and with `failurePolicy: Fail`.

As shipped a mistake in it would show only as a missing agent; with `Fail` the API server reports the mistake. Pods are
created with `dryRun`; none is stored.
"""

from collections.abc import Iterator

import pytest

from tests.apiserver.client import Client
from tests.apiserver.injection.pods import INJECT, Cluster, launcher
from tests.apiserver.injection.policies import Injection, built
from tests.cluster.control_plane import ControlPlane

#: The parameter of `injection` for the component injection-opt-in.
OPT_IN = "opt-in"


@pytest.fixture(scope="module", params=["Ignore", "Fail"])
def injection(
    request: pytest.FixtureRequest, control_plane: ControlPlane, admin: Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """In force, with either failurePolicy; or the component injection-opt-in, with Fail. Never two at a time."""
    opt_in = request.param == OPT_IN
    component = "injection-opt-in" if opt_in else "injection"
    objects = built(control_plane, tmp_path_factory.mktemp(component), component)
    for thing in objects:
        if thing["kind"] == "MutatingAdmissionPolicy":
            thing["spec"]["failurePolicy"] = "Fail" if opt_in else request.param
    probe, spared = ({INJECT: "true"}, {}) if opt_in else ({}, {INJECT: "false"})
    with Injection(control_plane, admin, objects, launcher(probe), launcher(spared)):
        yield


@pytest.fixture
def cluster(injection: None, client: Client, namespace: str) -> Cluster:
    return Cluster(client, namespace)
