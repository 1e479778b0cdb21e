"""The policies as the API server reads them: a mistake in an expression would deny everything, or nothing."""

import json
import uuid

import pytest
import yaml

from testbed.waiting import wait_until
from tests.apiserver.identities import BASE
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object
from tests.cluster.tools import REPOSITORY

COMPONENTS = REPOSITORY / "manifests" / "components"


def policies() -> dict[str, Object]:
    files = [*BASE.glob("guard-*.yaml"), *COMPONENTS.glob("guard-*/guard-*.yaml")]
    things = [thing for file in files for thing in yaml.safe_load_all(file.read_text())]
    return {p["metadata"]["name"]: p for p in things if p["kind"] == "ValidatingAdmissionPolicy"}


@pytest.mark.parametrize("name", policies())
def test_the_api_server_finds_no_mistake_in_the_types_of(control_plane: ControlPlane, name: str) -> None:
    """Every expression fits the schemas of VMIs and companions; a misspelt field would be reported."""
    policy = policies()[name]
    broken = {**policy, "spec": {**policy["spec"], "validations": [{"expression": "object.spec == object.speck"}]}}

    def finds_the_mistake() -> bool:
        return "undefined field 'speck'" in json.dumps(warnings(control_plane, broken))

    # The API server checks a policy once, when it is created, and only if it knows the schema by then.
    wait_until(finds_the_mistake, what="the API server checks types", interval=0.2)
    assert warnings(control_plane, policy) == []


def warnings(plane: ControlPlane, policy: Object) -> list[Object]:
    """Return the API server's warnings about a copy that has no binding."""
    copy = f"check-{uuid.uuid4().hex[:8]}"
    plane.create({**policy, "metadata": {"name": copy}})

    def status() -> Object:
        seen: Object = json.loads(plane.kubectl("get", "validatingadmissionpolicy", copy, "--output=json"))
        return dict(seen.get("status", {}))

    try:
        checked = wait_until(status, lambda seen: "observedGeneration" in seen, what="types are checked", interval=0.1)
        return list(checked.get("typeChecking", {}).get("expressionWarnings", []))
    finally:
        plane.kubectl("delete", "validatingadmissionpolicy", copy)
