"""The handler's flags: what a value of --endpoint may be."""

import re
from pathlib import Path

import pytest

from handler_service import polling_flag
from handler_service.config import StaticEndpoint, parse_endpoint
from handler_service.model import VmiId
from servicestatus.v1 import sessions_pb2 as types
from tests.unit.handler.builders import VMI


def test_a_value_names_a_vmi_and_its_socket(tmp_path: Path) -> None:
    """The rest of a path may hold anything, an equals sign too."""
    assert parse_endpoint(f"default/vm={tmp_path}/s") == StaticEndpoint(VMI, tmp_path / "s")
    assert parse_endpoint(f"a-1/b.c-2={tmp_path}/a=b") == StaticEndpoint(VmiId("a-1", "b.c-2", ""), tmp_path / "a=b")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not NAMESPACE/NAME=SOCKET"),
        ("vm=/s", "is not NAMESPACE/NAME=SOCKET"),
        ("default/vm", "is not NAMESPACE/NAME=SOCKET"),
        ("default/vm=", "is not NAMESPACE/NAME=SOCKET"),
        ("/vm=/s", "'' is not the name of a namespace"),
        ("Default/vm=/s", "'Default' is not the name of a namespace"),
        ("a.b/vm=/s", "'a.b' is not the name of a namespace"),
        ("../vm=/s", "'..' is not the name of a namespace"),
        ("n" * 64 + "/vm=/s", "is not the name of a namespace"),
        ("default/=/s", "'' is not the name of a VMI"),
        ("default/../x=/s", "'../x' is not the name of a VMI"),
        ("default/vm-=/s", "'vm-' is not the name of a VMI"),
        ("default/v..m=/s", "'v..m' is not the name of a VMI"),
        ("default/vm\n=/s", "is not the name of a VMI"),
        ("default/" + "m" * 254 + "=/s", "is not the name of a VMI"),
        ("default/" + "m" * 251 + "=/s", "its document's name, NAME.json, has 256 bytes"),
        ("default/" + "m" * 253 + "=/s", "use a VMI name of at most 250 characters"),
        ("default/vm=/nowhere/at/all/s", "/nowhere/at/all is not a directory"),
    ],
)
def test_a_wrong_value_says_what_is_wrong(text: str, problem: str) -> None:
    """No name can lead out of the directory of documents."""
    with pytest.raises(ValueError, match="is not") as refused:
        parse_endpoint(text)
    assert problem in str(refused.value)


def test_a_value_of_poll_is_a_service_and_seconds() -> None:
    """Within the bounds of the contract."""
    assert polling_flag.parse("usb-redirection=5s") == (types.SERVICE_USB_REDIRECTION, 5.0)
    assert polling_flag.parse("serial-console=1m") == (types.SERVICE_SERIAL_CONSOLE, 60.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not SERVICE=DURATION"),
        ("usb-redirection", "is not SERVICE=DURATION"),
        ("vnc=5s", "'vnc' is not a service that can be polled: usb-redirection or serial-console"),
        ("spice=5s", "'spice' is not a service that can be polled"),
        ("=5s", "'' is not a service that can be polled"),
        ("usb-redirection=", "'' is not a duration"),
        ("usb-redirection=5", "'5' is not a duration"),
        ("usb-redirection=500ms", "500ms is not between 1s and 60s"),
        ("serial-console=61s", "61s is not between 1s and 60s"),
    ],
)
def test_a_value_of_poll_that_cannot_be_used_says_why(text: str, problem: str) -> None:
    """Before any agent gets it."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        polling_flag.parse(text)
