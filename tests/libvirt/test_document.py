"""What the VMI document shows while the number is unknown or the handler is dead. Both programs, a real VM."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.documents import script
from testbed.pool import ViewerPool
from testbed.vm import VirtualMachine
from testbed.waiting import wait_until
from tests.libvirt.pair import Pair

#: A lease, and the delay that a busy machine may add.
_EXPIRY = 60.0


@pytest.fixture
def pair(vm: VirtualMachine) -> Iterator[Pair]:
    with Pair(vm, handler=("--heartbeat-interval=500ms", "--lease=2s")) as both:
        yield both.start()


def conditions(pair: Pair) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition in the document that is about VNC."""
    found: dict[str, Any] = json.loads(pair.document.read_text())["status"]["serviceStatus"]
    of_vnc = (one for one in found["conditions"] if one["type"] in ("Observed", "Idle"))
    return {one["type"]: (one["status"], one["reason"]) for one in of_vnc}


def wait_conditions(pair: Pair, expected: dict[str, tuple[str, str]]) -> None:
    wait_until(
        lambda: conditions(pair),
        lambda seen: seen == expected,
        what=f"the document shows {expected}",
        retry_on=(FileNotFoundError,),
    )


def reads_as_idle(document: Path) -> bool:
    """Run the check that docs/one-host.md gives to readers, and return its result."""
    check = script("one-host.md", "check")
    check = check.replace("/var/lib/vmi-service-status/default/vm1.json", str(document))
    done = subprocess.run(["sh", "-c", check], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 or "is connected" not in done.stdout
    return "is connected" in done.stdout


def test_a_viewer_and_no_viewer_are_distinguished(pair: Pair, viewers: ViewerPool) -> None:
    """The documented check agrees with the conditions."""
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("True", "NobodyConnected")})
    assert reads_as_idle(pair.document)
    viewers.establish(pair.machine.address)
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("False", "ViewersConnected")})
    assert not reads_as_idle(pair.document)


def test_an_absent_number_that_is_unknown_does_not_read_as_idle(pair: Pair) -> None:
    """The agent is killed while no viewer is connected: the number stays absent, the conditions say "not known"."""
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("True", "NobodyConnected")})
    pair.agent.kill()
    wait_conditions(pair, {"Observed": ("False", "AgentSilent"), "Idle": ("Unknown", "NotObserved")})
    assert pair.sessions is None
    assert not reads_as_idle(pair.document)


def test_the_document_of_a_killed_handler_expires(pair: Pair) -> None:
    """It cannot be changed any more, and does not read as idle."""
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("True", "NobodyConnected")})
    assert reads_as_idle(pair.document)
    pair.handler.kill()
    wait_until(
        lambda: reads_as_idle(pair.document),
        lambda nobody: not nobody,
        what="the document has expired",
        timeout=_EXPIRY,
        interval=0.5,
    )
    assert conditions(pair)["Observed"] == ("True", "Watching")
    pair.handler.start()
    wait_until(lambda: reads_as_idle(pair.document), what="the document is fresh again", interval=0.5)


def test_a_handler_that_is_stopped_marks_the_document(pair: Pair, viewers: ViewerPool) -> None:
    """On SIGTERM the number stays, and is marked as not observed."""
    viewers.establish(pair.machine.address)
    pair.wait_sessions(1)
    pair.handler.stop()
    assert conditions(pair) == {"Observed": ("False", "HandlerStopped"), "Idle": ("Unknown", "NotObserved")}
    assert pair.sessions == 1
    pair.handler.start()
    wait_conditions(pair, {"Observed": ("True", "Watching"), "Idle": ("False", "ViewersConnected")})
