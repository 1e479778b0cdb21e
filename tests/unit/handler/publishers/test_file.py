"""Documents on a real file system."""

import asyncio
import contextlib
import json
import os
import resource
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handler_service.model import Outcome, OutcomeKind, PublishedValue, VmiId
from handler_service.publishers.file import FilePublisher
from tests.unit.handler.builders import VMI, desired

NOBODY = 65_534


def to_publish(sessions: int) -> PublishedValue:
    """What the publisher is asked to show."""
    return PublishedValue(sessions, FilePublisher(Path()).detail(desired(sessions)))


@pytest.fixture
def publisher(tmp_path: Path) -> FilePublisher:
    return FilePublisher(tmp_path)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Where the document will be; its directory is there."""
    path = tmp_path / "default" / "vm.json"
    path.parent.mkdir()
    return path


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def put(path: Path, value: Any) -> bytes:
    """Write a document as somebody else."""
    path.write_text(json.dumps(value))
    return path.read_bytes()


# --- what is written ---


async def test_a_document_is_made_with_its_directory(publisher: FilePublisher, tmp_path: Path) -> None:
    """It is a VMI as a reader of VMIs expects it."""
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, PublishedValue(0, "no document"))
    assert await publisher.write(VMI, to_publish(2)) == Outcome(OutcomeKind.WRITTEN, to_publish(2))
    assert json.loads((tmp_path / "default" / "vm.json").read_text()) == {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "vm", "namespace": "default"},
        "status": {"serviceStatus": {"vncSessions": 2}},
    }
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, to_publish(2))


async def test_a_document_is_made_at_zero_too(publisher: FilePublisher, tmp_path: Path) -> None:
    """It says that the VM is watched; the field is absent."""
    assert (await publisher.write(VMI, to_publish(0))).kind is OutcomeKind.WRITTEN
    assert json.loads((tmp_path / "default" / "vm.json").read_text())["status"] == {}


async def test_at_zero_the_field_is_absent(publisher: FilePublisher, document: Path) -> None:
    """And what would be left empty around it."""
    await publisher.write(VMI, to_publish(2))
    await publisher.write(VMI, to_publish(0))
    assert json.loads(document.read_text())["status"] == {}


async def test_a_file_that_is_new_may_be_read_by_all_who_may_enter(publisher: FilePublisher, tmp_path: Path) -> None:
    """Whatever the umask of the handler is."""
    before = os.umask(0o077)
    try:
        await publisher.write(VMI, to_publish(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "default").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "default" / "vm.json").stat().st_mode) == 0o644


async def test_everything_else_is_kept(publisher: FilePublisher, document: Path) -> None:
    """In its order, and every kind of value."""
    value = {
        "zebra": [1, 2.5, None, True, "ü\u2028😀"],
        "status": {
            "phase": "Running",
            "serviceStatus": {"spiceSessions": 3, "vncSessions": 9, "other": {"deep": [[]]}},
            "conditions": [],
        },
        "metadata": {"annotations": {"a": "b"}, "generation": 12_345_678_901_234_567_890},
        "apiVersion": "kubevirt.io/v2",
    }
    put(document, value)
    await publisher.write(VMI, to_publish(1))
    after = json.loads(document.read_text())
    assert after["status"]["serviceStatus"] == {"spiceSessions": 3, "vncSessions": 1, "other": {"deep": [[]]}}
    value["status"]["serviceStatus"]["vncSessions"] = 1  # type: ignore[index]
    assert after == value
    assert list(after) == ["zebra", "status", "metadata", "apiVersion"]


async def test_other_services_keep_their_place_at_zero(publisher: FilePublisher, document: Path) -> None:
    """Only our own field goes."""
    put(document, {"status": {"serviceStatus": {"spiceSessions": 3, "vncSessions": 9}, "phase": "Running"}})
    await publisher.write(VMI, to_publish(0))
    assert json.loads(document.read_text()) == {
        "status": {"serviceStatus": {"spiceSessions": 3}, "phase": "Running"},
    }


async def test_what_is_there_already_is_not_written(publisher: FilePublisher, document: Path) -> None:
    """Not a byte is touched, whatever its layout."""
    document.write_text('{"status":   {"serviceStatus":{"vncSessions": 2}}}')
    before = document.stat()
    assert await publisher.write(VMI, to_publish(2)) == Outcome(OutcomeKind.UNCHANGED, to_publish(2))
    after = document.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


@pytest.mark.parametrize("value", [0, -1, "2", 2.0, True, None, [], {}])
async def test_a_field_that_holds_no_number_is_removed_at_zero(
    publisher: FilePublisher, document: Path, value: object
) -> None:
    """At zero the field is absent, so a 0 that somebody wrote is wrong too."""
    put(document, {"status": {"serviceStatus": {"vncSessions": value}, "phase": "Running"}})
    held = (await publisher.read(VMI)).actual
    assert held == PublishedValue(0, "malformed")
    assert held != to_publish(0)
    assert (await publisher.write(VMI, to_publish(0))).kind is OutcomeKind.WRITTEN
    assert json.loads(document.read_text()) == {"status": {"phase": "Running"}}


@pytest.mark.parametrize("value", [{}, {"status": None}, {"status": {"serviceStatus": None}}, {"status": {}}])
async def test_a_document_without_status_gets_one(publisher: FilePublisher, document: Path, value: object) -> None:
    """When there is something to say."""
    put(document, value)
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, to_publish(0))
    await publisher.write(VMI, to_publish(4))
    assert json.loads(document.read_text()) == {"status": {"serviceStatus": {"vncSessions": 4}}}


async def test_mode_and_owner_are_kept(publisher: FilePublisher, document: Path) -> None:
    """Who made the document decides who reads it."""
    put(document, {})
    document.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(document, NOBODY, NOBODY)
    before = document.stat()
    await publisher.write(VMI, to_publish(1))
    after = document.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


async def test_the_longest_name_that_a_file_can_have(publisher: FilePublisher, tmp_path: Path) -> None:
    """Is written; a longer one is told."""
    longest = VmiId("default", "n" * 250, "")
    assert (await publisher.write(longest, to_publish(1))).kind is OutcomeKind.WRITTEN
    too_long = VmiId("default", "n" * 253, "")
    outcome = await publisher.write(too_long, to_publish(1))
    assert outcome.kind is OutcomeKind.ERROR
    assert "File name too long" in outcome.message
    assert [path.name for path in (tmp_path / "default").iterdir()] == ["n" * 250 + ".json"]


# --- what is not understood ---


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b'{"status": {"serviceStatus": {"vncSessions": 1}}} trailing', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"status": []}', "status is not an object"),
        (b'{"status": {"serviceStatus": 7}}', "serviceStatus is not an object"),
        (b'{"number": ' + b"9" * 5_000 + b"}", "is not JSON"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else None,
)
async def test_what_is_not_understood_is_left_alone_and_told(
    publisher: FilePublisher, document: Path, content: bytes, problem: str
) -> None:
    """Somebody will want to look at it."""
    document.write_bytes(content)
    for outcome in (await publisher.read(VMI), await publisher.write(VMI, to_publish(1))):
        assert (outcome.kind, outcome.actual) == (OutcomeKind.ERROR, None)
        assert str(document) in outcome.message
        assert problem in outcome.message
    assert document.read_bytes() == content
    assert [path.name for path in document.parent.iterdir()] == ["vm.json"]


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e999}', '{"a": -Infinity}'])
async def test_what_could_not_be_written_back_is_left_alone(
    publisher: FilePublisher, document: Path, text: str
) -> None:
    """Python reads such numbers, and nobody else would read what it writes of them."""
    document.write_text(text)
    outcome = await publisher.write(VMI, to_publish(1))
    assert outcome.kind is OutcomeKind.ERROR
    assert "cannot be written as JSON" in outcome.message
    assert document.read_text() == text


@pytest.mark.parametrize("dangling", [True, False])
async def test_a_symlinked_document_is_left_alone_and_told(
    publisher: FilePublisher, document: Path, tmp_path: Path, dangling: bool
) -> None:
    """Neither the link nor what it points to is touched: it may be anywhere."""
    target = tmp_path / "elsewhere.json"
    if not dangling:
        target.write_text('{"status": {"serviceStatus": {"vncSessions": 1}}}')
    document.symlink_to(target)
    for outcome in (await publisher.read(VMI), await publisher.write(VMI, to_publish(2))):
        assert outcome == Outcome(OutcomeKind.ERROR, message=f"{document} is a symbolic link")
    assert document.is_symlink()
    assert target.exists() is not dangling


async def test_a_pipe_in_place_of_a_document_blocks_nobody(publisher: FilePublisher, document: Path) -> None:
    """A read of it would never end."""
    os.mkfifo(document)
    async with asyncio.timeout(30):
        outcome = await publisher.write(VMI, to_publish(1))
    assert outcome.message == f"{document} is no regular file"


async def test_a_directory_in_place_of_a_document_is_told(publisher: FilePublisher, document: Path) -> None:
    """And left alone."""
    document.mkdir()
    before = descriptors()
    for _ in range(5):
        assert (await publisher.write(VMI, to_publish(1))).message == f"{document} is no regular file"
    assert descriptors() == before


async def test_a_file_in_place_of_the_namespace_is_told(publisher: FilePublisher, tmp_path: Path) -> None:
    """And left alone."""
    (tmp_path / "default").write_text("precious")
    outcome = await publisher.write(VMI, to_publish(1))
    assert outcome.kind is OutcomeKind.ERROR
    assert "Not a directory" in outcome.message
    assert (tmp_path / "default").read_text() == "precious"


# --- when it cannot be written ---


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: be somebody else for a while, who may not even read this program's modules."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_read_only_directory_is_told(publisher: FilePublisher) -> None:
    """As forbidden, with the path, and in the same words each time; the old document stays."""
    await publisher.read(VMI)  # loads what is loaded late
    # Not in pytest's own folder: that is closed to everybody but the user that runs the tests.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        document = directory / "default" / "vm.json"
        document.parent.mkdir()
        before = put(document, {"status": {"serviceStatus": {"vncSessions": 1}}})
        for path in (directory, document.parent):
            path.chmod(0o555)
        with unprivileged():
            outcome = await FilePublisher(directory).write(VMI, to_publish(2))
            again = await FilePublisher(directory).write(VMI, to_publish(2))
            new = await FilePublisher(directory).write(VmiId("another", "vm", ""), to_publish(2))
        for path in (directory, document.parent):
            path.chmod(0o755)
        assert document.read_bytes() == before
    assert again == outcome
    for found in (outcome, new):
        assert found.kind is OutcomeKind.FORBIDDEN
        assert "Permission denied" in found.message


async def test_an_unreadable_document_is_told(publisher: FilePublisher) -> None:
    """It is not taken for one that is not there."""
    await publisher.read(VMI)  # loads what is loaded late
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "default").mkdir()
        document = directory / "default" / "vm.json"
        put(document, {})
        document.chmod(0)
        with unprivileged():
            outcome = await FilePublisher(directory).read(VMI)
        assert outcome.kind is OutcomeKind.FORBIDDEN


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """No file may grow beyond a few bytes: what a full disk does to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_the_old_document(publisher: FilePublisher, document: Path) -> None:
    """And nothing half-written beside it."""
    before = put(document, {"status": {"serviceStatus": {"vncSessions": 1}}})
    with no_room():
        outcome = await publisher.write(VMI, to_publish(2))
    assert (outcome.kind, outcome.actual) == (OutcomeKind.ERROR, None)
    assert document.read_bytes() == before
    assert [path.name for path in document.parent.iterdir()] == ["vm.json"]
    assert (await publisher.write(VMI, to_publish(2))).ok


# --- who reads meanwhile ---


async def test_a_reader_never_sees_a_torn_document(publisher: FilePublisher, document: Path) -> None:
    """The old one or the new one, at every moment."""
    put(document, {"padding": "x" * 100_000})
    await publisher.write(VMI, to_publish(1))
    seen: set[int] = set()
    over = threading.Event()

    def read_all_the_time() -> None:
        while not over.is_set():
            seen.add(json.loads(document.read_text())["status"]["serviceStatus"]["vncSessions"])

    reader = asyncio.create_task(asyncio.to_thread(read_all_the_time))
    try:
        async with asyncio.timeout(60):
            while len(seen) < 20:
                for sessions in range(1, 31):
                    assert (await publisher.write(VMI, to_publish(sessions))).ok
    finally:
        over.set()
        await reader
    assert seen <= set(range(1, 31))
    assert [path.name for path in document.parent.iterdir()] == ["vm.json"]


async def test_many_documents_are_written_at_once(publisher: FilePublisher, tmp_path: Path) -> None:
    """Their common directory is made by whoever comes first."""
    vmis = [VmiId("default", f"vm-{number}", "") for number in range(50)]
    outcomes = await asyncio.gather(*[publisher.write(vmi, to_publish(3)) for vmi in vmis])
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.WRITTEN}
    assert len(list((tmp_path / "default").iterdir())) == 50
