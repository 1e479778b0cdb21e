"""The programs import of the Kubernetes client what they use, and leave it whole for others."""

import json
import subprocess
import sys

import pytest

# What only the models need, and the synchronous client.
HEAVY = {
    "dateutil",
    "kubernetes.aio.client.models",
    "kubernetes.client",
    "pydantic",
    "requests",
    "urllib3",
    "websocket",
}


def modules(code: str) -> set[str]:
    """Return the modules that a new interpreter has imported after `code`."""
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(subprocess.check_output([sys.executable, "-c", program])))


@pytest.mark.parametrize(
    "program", ["handler_service.main, handler_service.cluster.wiring", "controller.main", "injection_webhook.main"]
)
def test_no_program_imports_the_models(program: str) -> None:
    """They take 17 MiB in the handler, and a third of the CPU of its start."""
    assert modules(f"import {program}") & HEAVY == set()


def test_another_import_of_the_client_gets_all_of_it() -> None:
    """The empty packages are gone afterwards, and both use the same modules."""
    code = (
        "from handler_service.kube import lean_client\n"
        "import kubernetes.aio.client as client\n"
        "assert client.Configuration is lean_client.Configuration\n"
        "assert client.ApiClient(client.Configuration()).rest_client.__class__ is lean_client.RESTClientObject\n"
    )
    assert "kubernetes.aio.client.models" in modules(code)


def test_a_client_that_is_imported_already_is_used() -> None:
    """Then nothing is left to save, and no second copy of a module is made."""
    code = (
        "import kubernetes.aio.client as client\n"
        "from handler_service.kube import lean_client\n"
        "import sys\n"
        "assert client.Configuration is lean_client.Configuration\n"
        "assert sys.modules['kubernetes.aio.client'] is client\n"
    )
    assert "handler_service.kube.lean_client" in modules(code)
