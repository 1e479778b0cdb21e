"""The `file` publisher on a disk that fails: the old document stays whole, and the failure is logged once."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from testbed.processes import ManagedProcess, script
from testbed.waiting import wait_until
from tests.apiserver.peers import Peer, Peers
from tests.faults.disks import SmallDisk, on_small_disk

Trouble = Callable[[SmallDisk], contextlib.AbstractContextManager[None]]

#: The failures, and what the handler logs.
TROUBLES: dict[str, tuple[Trouble, str]] = {
    "full": (SmallDisk.full, "No space left on device"),
    "no inodes": (SmallDisk.without_inodes, "No space left on device"),
    "read-only": (SmallDisk.read_only, "Read-only file system"),
}
#: Seconds: the first retries follow within 0 to 1 s, and 0 to 2 s.
TRIES = 3.0


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "vmis"
    folder.mkdir()
    return folder


@pytest.fixture
def handler(tmp_path: Path, documents: Path) -> Iterator[ManagedProcess]:
    """The real program, with the file publisher, on a small disk."""
    sockets = (f"--endpoint=default/vm={tmp_path / 'vm.sock'}", f"--admin-socket={tmp_path / 'admin.sock'}")
    argv: list[str | Path] = [script("handler-service"), f"--file-dir={documents}", *sockets]
    with on_small_disk(documents, argv, tmp_path / "handler.log") as running:
        yield running


@pytest.fixture
def disk(handler: ManagedProcess, documents: Path) -> SmallDisk:
    return SmallDisk(handler, documents)


@pytest.fixture
def peer(tmp_path: Path, disk: SmallDisk) -> Iterator[Peer]:
    """A scripted agent whose first number is published."""
    with Peers() as peers:
        made = peers.connect(tmp_path / "vm.sock", sessions=1)
        made.wait_published()
        yield made


class Reader:
    """Reads the document all the time: every read must return a whole document."""

    def __init__(self, disk: SmallDisk) -> None:
        self._document = disk.path / "default" / "vm.json"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.found: list[Any] = []
        self.torn: list[str] = []

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.001):
            text = self._document.read_text()
            try:
                value = json.loads(text)["status"].get("serviceStatus", {}).get("vncSessions")
            except ValueError:
                self.torn.append(text)
                continue
            if self.found[-1:] != [value]:
                self.found.append(value)


@pytest.mark.parametrize("kind", TROUBLES)
def test_the_old_document_stays_until_there_is_room(
    handler: ManagedProcess, disk: SmallDisk, peer: Peer, kind: str
) -> None:
    """Until then the agent receives that its number is not published; the newest one is written when there is room."""
    trouble, words = TROUBLES[kind]
    with Reader(disk) as reader:
        with trouble(disk):
            peer.report(2)
            assert words in peer.wait_state(pb.PUBLISH_STATE_FAILING)
            until = time.monotonic() + TRIES
            peer.report(3)
            wait_until(
                time.monotonic, lambda now: now > until, what="the handler has retried several times", interval=0.1
            )
            assert peer.ack.published < peer.sequence
        peer.wait_published(timeout=60)
    assert reader.torn == []
    assert reader.found == [1, 3]
    assert [path.name for path in (disk.path / "default").iterdir()] == ["vm.json"]
    said = [line for line in handler.log_text().splitlines() if "WARNING handler_service.publishing.worker" in line]
    assert len(said) == 1, said
    assert words in said[0]
    assert len([line for line in handler.log_text().splitlines() if "published again" in line]) == 1
