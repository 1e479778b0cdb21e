"""docs/one-host.md on a bare Debian: each of its commands is run, and prints what the page says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.builds import host
from hack.builds.commands import ROOT
from testbed.documents import examples
from testbed.pool import ViewerPool
from testbed.waiting import TIMEOUT, wait_until
from tests.host.machine import SOURCE, Machine

#: Seconds. Each command has a limit of its own; the install takes 20 s on a machine that does nothing else.
pytestmark = pytest.mark.timeout(600)

UNITS = ("handler-service.service", "launcher-agent@vm1.service")
#: systemd-analyze rates a unit from 0 (no access) to 100. It rates the handler 2, and the agent 4.
EXPOSURE = 10
#: Files that no removal brings back as they were: caches, and the backups of the lists of users.
_LEFTOVERS = "! -path '*/__pycache__/*' ! -name '*-' ! -name .pwd.lock ! -name ld.so.cache"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The source archive, as a release has it."""
    folder = tmp_path_factory.mktemp("sources")
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=240)
    (archive,) = Path(folder).glob("*.tar.gz")
    return archive.read_bytes()


@pytest.fixture(params=host.SUITES)
def machine(request: pytest.FixtureRequest, sources: bytes, tmp_path: Path) -> Iterator[Machine]:
    """A bare Debian with libvirt, and the sources."""
    with Machine(request.param, tmp_path) as made:
        made.output(f"tar --extract --gzip --strip-components=1 --directory={SOURCE}", stdin=sources)
        yield made


@pytest.fixture
def viewers() -> Iterator[ViewerPool]:
    with ViewerPool() as pool:
        yield pool


def play(machine: Machine, scene: str) -> None:
    """Run the commands of the page that belong to a scene."""
    commands = [example for example in examples("host") if example.scene == scene]
    assert commands, f"no page has a command in the scene {scene!r}"
    for example in commands:
        wait_until(
            lambda command=example.command: machine.output(command),  # type: ignore[misc]
            example.printed_by,
            what=f"{example} prints what the page says: {example.command}",
            # Only what asks may be asked again.
            timeout=TIMEOUT if example.command.startswith("handler-service status") else 0,
            interval=0.2,
        )


def document(machine: Machine, vm: str) -> Any:
    """Return what the document of a VM says: the number, and each condition's status and reason."""
    path = machine.path(f"/var/lib/vmi-service-status/default/{vm}.json")
    status = json.loads(path.read_text())["status"]["serviceStatus"]
    found = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    return status.get("vncSessions"), found["Observed"], found["Idle"]


def wait_document(machine: Machine, vm: str, *expected: object) -> None:
    wait_until(
        lambda: document(machine, vm),
        lambda seen: seen == expected,
        what=f"the document of {vm} shows {expected}",
        retry_on=(FileNotFoundError,),
        interval=0.05,
    )


IDLE = (None, ("True", "Watching"), ("True", "NobodyConnected"))
ONE_VIEWER = (1, ("True", "Watching"), ("False", "ViewersConnected"))
AGENT_GONE = (1, ("False", "NoAgent"), ("Unknown", "NotObserved"))
HANDLER_STOPPED = (None, ("False", "HandlerStopped"), ("Unknown", "NotObserved"))


def files(machine: Machine) -> list[str]:
    """Return all files where an installation can leave some."""
    return machine.output(f"find /etc /opt /root /usr /var/lib/vmi* -type f,l {_LEFTOVERS} | sort").splitlines()


def users(machine: Machine) -> list[str]:
    """Return all users, and all groups with their members."""
    return machine.output("(getent passwd; getent group) | sort").splitlines()


def test_a_bare_debian_counts_viewers_and_is_left_as_it_was(machine: Machine, viewers: ViewerPool) -> None:
    """The page from its first command to its last."""
    before = files(machine), users(machine)
    play(machine, "install")
    _check_hardening(machine)
    with machine.vm("vm1") as vm1, machine.vm("vm2"):
        play(machine, "a VM without an agent")
        wait_document(machine, "vm1", *IDLE)
        viewers.establish(vm1.address)
        wait_document(machine, "vm1", *ONE_VIEWER)
        play(machine, "one viewer")
        machine.output("systemctl stop launcher-agent@vm1")
        play(machine, "the agent was stopped")
        wait_document(machine, "vm1", *AGENT_GONE)
        machine.output("systemctl start launcher-agent@vm1")
        wait_document(machine, "vm1", *ONE_VIEWER)
        _check_new_vm(machine)
        _check_restart(machine)
        viewers.close_all()
        wait_document(machine, "vm1", *IDLE)
        _check_clean_stop(machine)
    play(machine, "remove it")
    assert (files(machine), users(machine)) == before


def _check_hardening(machine: Machine) -> None:
    """systemd understands each line, and finds little that the units may do beyond their work."""
    assert machine.output(f"systemd-analyze verify {' '.join(UNITS)}") == ""
    for unit in UNITS:
        rating = machine.output(f"systemd-analyze security --no-pager --threshold={EXPOSURE} {unit} && echo passed")
        assert rating.endswith("passed\n"), rating


def _check_new_vm(machine: Machine) -> None:
    """The running handler serves a second VM, whose instance has another name than its domain."""
    handler = machine.output("systemctl show --property=MainPID handler-service")
    machine.output(
        "mkdir -p /etc/vmi-service-status && echo LAUNCHER_AGENT_DOMAIN=vm2 > /etc/vmi-service-status/second.env"
    )
    machine.output("systemctl start launcher-agent@second")
    wait_document(machine, "second", *IDLE)
    assert machine.output("systemctl show --property=MainPID handler-service") == handler
    table = machine.output("handler-service status").splitlines()
    assert [line.split()[:5] for line in table[1:]] == [
        ["default/second", "VNC", "0", "True", "True"],
        ["default/second", "SPICE", "0", "True", "True"],
        ["default/vm1", "VNC", "1", "True", "False"],
        ["default/vm1", "SPICE", "0", "True", "True"],
    ]
    found = json.loads(machine.output("handler-service status -o json"))["statuses"]
    assert [status["services"][0]["sessions"] for status in found] == [0, 1]
    machine.output("systemctl stop launcher-agent@second; rm -r /etc/vmi-service-status")


def _check_restart(machine: Machine) -> None:
    """systemd starts a handler that was killed, and the agents report to it again."""
    handler = machine.output("systemctl show --property=MainPID handler-service")
    machine.output("systemctl kill --signal=KILL handler-service")
    wait_until(
        lambda: machine.output("systemctl show --property=MainPID handler-service"),
        lambda seen: seen not in {handler, "MainPID=0\n"},
        what="another handler runs",
        interval=0.2,
    )
    play(machine, "one viewer")


def _check_clean_stop(machine: Machine) -> None:
    """Nothing runs, and of all files only the documents are there, which say that they do not hold."""
    machine.output("systemctl stop handler-service")
    play(machine, "the handler was stopped")
    assert document(machine, "vm1") == HANDLER_STOPPED
    assert machine.output("find /run/launcher-agent/vm1 -name 'handler.sock'") == ""
    machine.output("systemctl stop launcher-agent@vm1")
    assert machine.output("find /run/launcher-agent /run/vmi-service-status -mindepth 1 2> /dev/null") == ""
    assert not [line for line in machine.command_lines() if b"/opt/vmi-service-status/" in line]
    assert machine.output("systemctl --failed --quiet list-units") == ""
