"""The examples of docs/ that query both programs by grpcurl, on what `make demo-live` keeps running.

All share one stage; each test leaves it as it was, with both programs running and no viewer connected.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from demo.stage import AGENT, HANDLER, NAME, NAMESPACE, Stage
from testbed import grpcurl
from testbed.documents import Example, examples
from testbed.libvirtd import PrivateLibvirt
from testbed.playing import Scene, play
from testbed.pool import ViewerPool
from testbed.vm import VirtualMachines
from testbed.waiting import wait_until


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        libvirtd = stack.enter_context(PrivateLibvirt())
        machine = stack.enter_context(VirtualMachines(libvirtd)).new(name=f"{NAMESPACE}_{NAME}").start()
        stage = Stage(libvirtd, machine)
        (stage.directory / "grpcurl").symlink_to(grpcurl.binary())
        yield stack.enter_context(_running(stage))


@contextlib.contextmanager
def _running(stage: Stage) -> Iterator[Stage]:
    with stage.handler, stage.agent:
        yield stage


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """The stage in its normal state; what a test stopped is started again."""
    _wait_handler(shared_stage, "all is well", sessions=0)
    yield shared_stage
    if not shared_stage.machine.libvirtd.running:
        shared_stage.machine.libvirtd.start()
    for program in (shared_stage.handler, shared_stage.agent):
        if not program.running:
            program.start()


# --- what both programs report ----------------------------------------------------------------------------------------


def _wait_handler(stage: Stage, what: str, *, sessions: int, observed: bool = True, state: str = "PUBLISHED") -> None:
    """Wait until the handler reports all of that about its only VMI."""

    def look() -> tuple[int, bool, str]:
        (status,) = stage.ask(HANDLER)["statuses"]
        service, publication = status["services"][0], status["publications"][0]
        return service.get("sessions", 0), service.get("observed", False), publication["state"]

    _wait(look, (sessions, observed, f"PUBLISH_STATE_{state}"), what)


def _wait(look: Callable[[], object], wanted: object, what: str) -> None:
    """A program that was just started does not answer yet."""
    not_yet = (AssertionError, KeyError, IndexError)
    wait_until(look, lambda seen: seen == wanted, what=what, timeout=60, interval=0.1, retry_on=not_yet)


# --- scenes -----------------------------------------------------------------------------------------------------------


def _one_viewer(stage: Stage, viewers: ViewerPool) -> Scene:
    viewers.establish(stage.machine.address)
    _wait_handler(stage, "there is one viewer", sessions=1)
    yield


def _libvirt_away(stage: Stage, viewers: ViewerPool) -> Scene:
    viewers.establish(stage.machine.address)
    _wait_handler(stage, "there is one viewer", sessions=1)
    stage.machine.libvirtd.kill()
    _wait_handler(stage, "it knows that libvirt is away", sessions=1, observed=False)
    # Wait for the state of the next attempt, not that of the cut.
    _wait(lambda: "connect" in stage.ask(AGENT)["status"]["observation"]["message"][:20], True, "it dials again")
    yield


def _agent_stopped(stage: Stage, viewers: ViewerPool) -> Scene:
    viewers.establish(stage.machine.address)
    _wait_handler(stage, "there is one viewer", sessions=1)
    stage.agent.stop()
    _wait_handler(stage, "it has received Goodbye", sessions=1, observed=False)
    yield


def _handler_away(stage: Stage, viewers: ViewerPool) -> Scene:
    stage.handler.stop()
    _wait(lambda: stage.ask(AGENT)["status"]["handler"]["state"], "STREAM_STATE_BACKING_OFF", "the agent waits")
    yield


def _scanner(stage: Stage, viewers: ViewerPool) -> Scene:
    viewers.connect(stage.machine.address)
    _wait(lambda: stage.ask(AGENT)["status"]["services"][0].get("pending"), 1, "it is pending")
    yield


def _refused(stage: Stage, viewers: ViewerPool) -> Scene:
    document = stage.document.read_text()
    stage.document.write_text("not JSON")
    viewers.establish(stage.machine.address)
    _wait_handler(stage, "writing fails", sessions=1, state="FAILING")
    yield
    stage.document.write_text(document)
    stage.handler.stop()  # the next one has counted no failure, and reports none


SCENES: Mapping[str, Callable[[Stage, ViewerPool], Scene]] = {
    "one viewer": _one_viewer,
    "libvirt is away": _libvirt_away,
    "the agent was stopped": _agent_stopped,
    "the handler is away": _handler_away,
    "a port scanner": _scanner,
    "the document cannot be written": _refused,
}


# --- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", examples("demo"), ids=str)
def test_it_prints_what_the_page_says(example: Example, stage: Stage, viewers: ViewerPool) -> None:
    """In the demo's directory, with a grpcurl on the path."""
    path = f"{stage.directory}:{os.environ['PATH']}"
    play(example, SCENES[example.scene](stage, viewers), stage.directory, {"PATH": path})
