"""What the VMI document says while the number is unknown or the handler is dead. Both programs, a real VM."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.documents import DOCS
from testbed.pool import ViewerPool
from testbed.vm import VirtualMachine
from testbed.waiting import wait_until
from tests.libvirt.pair import Pair

#: A lease, and what a busy machine may add.
_EXPIRY = 60.0


@pytest.fixture
def pair(vm: VirtualMachine) -> Iterator[Pair]:
    with Pair(vm, handler=("--heartbeat-interval=500ms", "--lease=2s")) as both:
        yield both.start()


def conditions(pair: Pair) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition in the document."""
    found: dict[str, Any] = json.loads(pair.document.read_text())["status"]["serviceStatus"]
    return {one["type"]: (one["status"], one["reason"]) for one in found["conditions"]}


def wait_conditions(pair: Pair, expected: dict[str, tuple[str, str]]) -> None:
    wait_until(
        lambda: conditions(pair),
        lambda seen: seen == expected,
        what=f"the document says {expected}",
        retry_on=(FileNotFoundError,),
    )


def nobody_is_connected(document: Path) -> bool:
    """The answer of the check that docs/one-host.md gives to readers."""
    (check,) = re.findall(r"```sh\n(.*?)```", (DOCS / "one-host.md").read_text(), re.DOTALL)
    check = check.replace("/var/lib/vss/default/vm1.json", str(document))
    done = subprocess.run(["sh", "-c", check], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 or "nobody is connected" not in done.stdout
    return "nobody is connected" in done.stdout


def test_a_viewer_and_nobody_are_told_apart(pair: Pair, viewers: ViewerPool) -> None:
    """The documented check agrees with the conditions."""
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("True", "NobodyConnected")})
    assert nobody_is_connected(pair.document)
    viewers.establish(pair.machine.address)
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("False", "ViewersConnected")})
    assert not nobody_is_connected(pair.document)


def test_an_absent_number_that_is_unknown_does_not_read_as_nobody(pair: Pair) -> None:
    """The agent is killed while nobody is connected: the number stays absent, the conditions say "not known"."""
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("True", "NobodyConnected")})
    pair.agent.kill()
    wait_conditions(pair, {"Observed": ("False", "AgentSilent"), "Idle": ("Unknown", "NotObserved")})
    assert pair.sessions is None
    assert not nobody_is_connected(pair.document)


def test_the_document_of_a_killed_handler_expires(pair: Pair) -> None:
    """It cannot be changed any more, and still does not read as "nobody is connected"."""
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("True", "NobodyConnected")})
    assert nobody_is_connected(pair.document)
    pair.handler.kill()
    wait_until(
        lambda: nobody_is_connected(pair.document),
        lambda nobody: not nobody,
        what="the document has expired",
        timeout=_EXPIRY,
        interval=0.5,
    )
    assert conditions(pair)["Observed"] == ("True", "Watching")
    pair.handler.start()
    wait_until(lambda: nobody_is_connected(pair.document), what="the document is fresh again", interval=0.5)


def test_a_handler_that_is_stopped_marks_the_document(pair: Pair, viewers: ViewerPool) -> None:
    """On SIGTERM the number stays, and is not observed."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    pair.handler.stop()
    assert conditions(pair) == {"Observed": ("False", "HandlerStopped"), "Idle": ("Unknown", "NotObserved")}
    assert pair.sessions == 1
    pair.handler.start()
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("False", "ViewersConnected")})
