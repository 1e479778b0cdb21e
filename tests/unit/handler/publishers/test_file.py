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
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handler_service.kube.conditions import Detail, ServiceDetail
from handler_service.model import Outcome, OutcomeKind, PublishedValue, Reason, ServiceValue, VmiId
from handler_service.publishers.file import FilePublisher
from servicestatus.v1 import sessions_pb2 as types
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import VMI, desired
from tests.unit.support.users import NOBODY, unprivileged

#: Wall time of the first write.
START = 1_700_000_000.0
START_TIME = "2023-11-14T22:13:20Z"


def to_publish(sessions: int, *, observed: bool = True) -> PublishedValue:
    """The value that the publisher is asked to show."""
    return PublishedValue(sessions, FilePublisher(Path()).detail(desired(sessions, observed=observed)))


class Wall:
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def publisher(tmp_path: Path, wall: Wall) -> FilePublisher:
    return FilePublisher(tmp_path, wall)


def service_status(document: Path) -> dict[str, Any]:
    """The handler's block of a document."""
    found: dict[str, Any] = json.loads(document.read_text())["status"]["serviceStatus"]
    return found


#: The conditions of services about which nothing was said.
NOT_WATCHED = dict.fromkeys(
    ("UsbRedirectionsObserved", "ConsoleSessionsObserved", "SpiceSessionsObserved"), ("Unknown", "NotWatched")
)


def conditions(document: Path) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    return {one["type"]: (one["status"], one["reason"]) for one in service_status(document)["conditions"]}


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
    """Write a document as another program."""
    path.write_text(json.dumps(value))
    return path.read_bytes()


# --- what is written ---


async def test_a_document_is_made_with_its_directory(publisher: FilePublisher, tmp_path: Path) -> None:
    """It is a VMI as a reader of VMIs expects it."""
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, PublishedValue(0))
    assert await publisher.write(VMI, to_publish(2)) == Outcome(OutcomeKind.WRITTEN, to_publish(2))
    assert json.loads((tmp_path / "default" / "vm.json").read_text()) == {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "vm", "namespace": "default"},
        "status": {
            "serviceStatus": {
                "vncSessions": 2,
                "renewTime": START_TIME,
                "leaseDurationSeconds": 30,
                "conditions": [
                    {
                        "type": "Observed",
                        "status": "True",
                        "reason": "Watching",
                        "message": "The agent sees every viewer connect and disconnect.",
                        "lastTransitionTime": START_TIME,
                    },
                    {
                        "type": "Idle",
                        "status": "False",
                        "reason": "ViewersConnected",
                        "message": "2 viewers are connected over VNC.",
                        "lastTransitionTime": START_TIME,
                    },
                    *(
                        {
                            "type": type_,
                            "status": "Unknown",
                            "reason": "NotWatched",
                            "message": "Not watched: the handler does not ask for it (--poll), or the VM's agent does "
                            "not report it.",
                            "lastTransitionTime": START_TIME,
                        }
                        for type_ in NOT_WATCHED
                    ),
                ],
            }
        },
    }
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, to_publish(2))


async def test_a_known_zero_is_an_absent_number_and_idle(publisher: FilePublisher, document: Path) -> None:
    """The number is absent, as VEP #119 defines it; the conditions say that it is known."""
    assert (await publisher.write(VMI, to_publish(0))).kind is OutcomeKind.WRITTEN
    assert "vncSessions" not in service_status(document)
    shown = {"Observed": ("True", "Watching"), "Idle": ("True", "NobodyConnected")}
    assert conditions(document) == shown | NOT_WATCHED


async def test_an_unknown_number_is_never_an_idle_vm(publisher: FilePublisher, document: Path) -> None:
    """The number is absent too, so the conditions must differ."""
    await publisher.write(VMI, to_publish(0, observed=False))
    assert "vncSessions" not in service_status(document)
    shown = {"Observed": ("False", "AgentSilent"), "Idle": ("Unknown", "NotObserved")}
    assert conditions(document) == shown | NOT_WATCHED


def test_a_vm_without_an_agent_is_described_without_a_cluster(publisher: FilePublisher) -> None:
    """On a host nothing can be migrated."""
    shown = publisher.detail(replace(desired(0, observed=False), reason=Reason.NO_AGENT))
    assert isinstance(shown, Detail)
    assert shown.message == "No agent runs for this VM; the number shown is the last one known."


async def test_a_time_of_transition_is_kept_while_the_status_is(
    publisher: FilePublisher, document: Path, wall: Wall
) -> None:
    """From 1 viewer to 2, neither condition changes; from 2 to none, one does."""
    for sessions in (1, 2, 0):
        await publisher.write(VMI, to_publish(sessions))
        wall.now += 60.0
    times = {one["type"]: one["lastTransitionTime"] for one in service_status(document)["conditions"]}
    assert times == dict.fromkeys(NOT_WATCHED, START_TIME) | {"Observed": START_TIME, "Idle": "2023-11-14T22:15:20Z"}


async def test_at_zero_the_number_is_absent(publisher: FilePublisher, document: Path) -> None:
    """After a number was there."""
    await publisher.write(VMI, to_publish(2))
    await publisher.write(VMI, to_publish(0))
    assert "vncSessions" not in service_status(document)


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
            "serviceStatus": {"otherSessions": 3, "vncSessions": 9, "other": {"deep": [[]]}},
            "conditions": [],
        },
        "metadata": {"annotations": {"a": "b"}, "generation": 12_345_678_901_234_567_890},
        "apiVersion": "kubevirt.io/v2",
    }
    put(document, value)
    await publisher.write(VMI, to_publish(1))
    after = json.loads(document.read_text())
    written = after["status"].pop("serviceStatus")
    del value["status"]["serviceStatus"]  # type: ignore[attr-defined]
    assert after == value
    assert (written["otherSessions"], written["other"], written["vncSessions"]) == (3, {"deep": [[]]}, 1)
    assert list(after) == ["zebra", "status", "metadata", "apiVersion"]


async def test_other_programs_fields_stay_at_zero(publisher: FilePublisher, document: Path) -> None:
    """Only the handler's own fields change."""
    put(document, {"status": {"serviceStatus": {"otherSessions": 3, "vncSessions": 9}, "phase": "Running"}})
    await publisher.write(VMI, to_publish(0))
    assert service_status(document)["otherSessions"] == 3
    assert "vncSessions" not in service_status(document)
    assert json.loads(document.read_text())["status"]["phase"] == "Running"


@pytest.mark.parametrize("value", [0, -1, "2", 2.0, True, None, [], {}])
async def test_a_field_that_holds_no_number_is_removed_at_zero(
    publisher: FilePublisher, document: Path, value: object
) -> None:
    """At zero the field is absent, so a 0 of another program is wrong too."""
    put(document, {"status": {"serviceStatus": {"vncSessions": value}, "phase": "Running"}})
    held = (await publisher.read(VMI)).actual
    assert held == PublishedValue(0)
    assert held != to_publish(0)
    assert (await publisher.write(VMI, to_publish(0))).kind is OutcomeKind.WRITTEN
    assert "vncSessions" not in service_status(document)


@pytest.mark.parametrize("value", [{}, {"status": None}, {"status": {"serviceStatus": None}}, {"status": {}}])
async def test_a_document_without_status_gets_one(publisher: FilePublisher, document: Path, value: object) -> None:
    """When there is something to say."""
    put(document, value)
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, PublishedValue(0))
    await publisher.write(VMI, to_publish(4))
    assert service_status(document)["vncSessions"] == 4


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
    """It is written; a longer name is an error."""
    longest = VmiId("default", "n" * 250, "")
    assert (await publisher.write(longest, to_publish(1))).kind is OutcomeKind.WRITTEN
    too_long = VmiId("default", "n" * 253, "")
    outcome = await publisher.write(too_long, to_publish(1))
    assert outcome.kind is OutcomeKind.ERROR
    assert "File name too long" in outcome.message
    assert [path.name for path in (tmp_path / "default").iterdir()] == ["n" * 250 + ".json"]


# --- how long a value holds ---


@pytest.mark.parametrize(
    "found",
    [
        {"vncSessions": 1, "conditions": 7},
        {"vncSessions": 1, "conditions": [7, None]},
        {"vncSessions": 1, "conditions": [{"type": "Observed"}]},
        {"vncSessions": 1, "conditions": [{"type": ["Observed"]}], "since": 3},
    ],
)
async def test_conditions_of_another_form_are_replaced(
    publisher: FilePublisher, document: Path, found: dict[str, object]
) -> None:
    """Whatever another program has left there."""
    put(document, {"status": {"serviceStatus": found}})
    assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, PublishedValue(1))
    assert (await publisher.write(VMI, to_publish(1))).kind is OutcomeKind.WRITTEN
    assert conditions(document)["Observed"] == ("True", "Watching")


async def test_a_renewal_moves_the_time_and_nothing_else(publisher: FilePublisher, document: Path, wall: Wall) -> None:
    """So a reader recognises the value of a handler that died."""
    await publisher.write(VMI, to_publish(2))
    before = service_status(document)
    wall.now += 10.0
    await publisher.renew()
    assert service_status(document) == before | {"renewTime": "2023-11-14T22:13:30Z"}


async def test_a_renewal_restores_what_another_program_changed(publisher: FilePublisher, document: Path) -> None:
    """A renewal vouches for the value that the handler wrote, not for the one that it finds."""
    await publisher.write(VMI, to_publish(2))
    put(document, {"status": {"serviceStatus": {"vncSessions": 7, "other": 1}}})
    await publisher.renew()
    assert service_status(document)["vncSessions"] == 2
    assert service_status(document)["other"] == 1


async def test_a_former_handlers_document_is_written_again_and_not_renewed_before(
    publisher: FilePublisher, document: Path, tmp_path: Path, wall: Wall
) -> None:
    """A new handler vouches only for a value that it has written itself."""
    await publisher.write(VMI, to_publish(2))
    wall.now += 10.0
    successor = FilePublisher(tmp_path, wall)
    assert await successor.read(VMI) == Outcome(OutcomeKind.UNCHANGED, PublishedValue(2))
    await successor.renew()
    assert service_status(document)["renewTime"] == START_TIME
    await successor.write(VMI, to_publish(2))
    assert await successor.read(VMI) == Outcome(OutcomeKind.UNCHANGED, to_publish(2))
    assert service_status(document)["renewTime"] == "2023-11-14T22:13:30Z"


async def test_a_value_whose_write_failed_is_not_renewed(publisher: FilePublisher, document: Path, wall: Wall) -> None:
    """The file shows an older value, for which the handler must not vouch."""
    await publisher.write(VMI, to_publish(1))
    with no_room():
        assert (await publisher.write(VMI, to_publish(2))).kind is OutcomeKind.ERROR
    wall.now += 10.0
    await publisher.renew()
    assert service_status(document)["renewTime"] == START_TIME


async def test_a_renewal_that_fails_is_logged_once(
    publisher: FilePublisher, document: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The document expires, which its readers see; the log says why."""
    await publisher.write(VMI, to_publish(1))
    document.write_text("{")
    for _ in range(3):
        await publisher.renew()
    (record,) = caplog.records
    assert record.getMessage().startswith("the document is not renewed: ")
    assert record.__dict__["fields"] == {"vmi": "default/vm"}
    assert "is not JSON" in record.getMessage()
    assert document.read_text() == "{"


@pytest.mark.parametrize("breaks", ["one document", "all"])
async def test_the_renewal_outlives_a_failure_of_any_kind_and_logs_it_once(
    document: Path, tmp_path: Path, wall: Wall, caplog: pytest.LogCaptureFixture, breaks: str
) -> None:
    """A wall clock that shows no date of the calendar breaks the text of a time; no thread for it breaks the whole."""

    class Renewed(FilePublisher):
        times = 0

        async def renew(self) -> None:
            self.times += 1
            if breaks == "all" and self.times < 5:
                raise RuntimeError("can't start new thread")
            await super().renew()

    async with Renewed(tmp_path, wall, renew_interval=0.01) as publisher:
        await publisher.write(VMI, to_publish(1))
        wall.now = 1e18 if breaks == "one document" else START + 10.0
        await wait_until_async(lambda: publisher.times, lambda times: times >= 5, what="it goes on renewing")
        wall.now = START + 10.0
        await wait_until_async(
            lambda: service_status(document)["renewTime"],
            lambda renewed: renewed == "2023-11-14T22:13:30Z",
            what="the document is renewed",
        )
    assert [one.levelname for one in caplog.records if one.levelname != "DEBUG"] == [
        "WARNING" if breaks == "one document" else "ERROR"
    ]


async def test_it_renews_by_itself_while_it_runs(document: Path, tmp_path: Path, wall: Wall) -> None:
    """Without any change of the number."""
    async with FilePublisher(tmp_path, wall, renew_interval=0.01) as publisher:
        await publisher.write(VMI, to_publish(1))
        wall.now += 10.0
        await wait_until_async(
            lambda: service_status(document)["renewTime"],
            lambda renewed: renewed == "2023-11-14T22:13:30Z",
            what="the document is renewed",
        )


async def test_a_handler_that_stops_marks_its_documents(tmp_path: Path, document: Path, wall: Wall) -> None:
    """The number stays, and is not observed; a write that comes too late does not undo that."""
    async with FilePublisher(tmp_path, wall) as publisher:
        await publisher.write(VMI, to_publish(2))
        wall.now += 5.0
    assert service_status(document)["vncSessions"] == 2
    shown = {"Observed": ("False", "HandlerStopped"), "Idle": ("Unknown", "NotObserved")}
    assert conditions(document) == shown | NOT_WATCHED
    assert service_status(document)["renewTime"] == "2023-11-14T22:13:25Z"
    assert (await publisher.write(VMI, to_publish(0))).kind is OutcomeKind.ERROR
    assert conditions(document)["Observed"] == ("False", "HandlerStopped")


async def test_a_handler_that_stops_withdraws_each_service_that_it_watched(
    tmp_path: Path, document: Path, wall: Wall
) -> None:
    """A number never outlives its writer."""
    usb = ServiceValue(types.SERVICE_USB_REDIRECTION, 2, ServiceDetail(True, "Watching", ""))
    async with FilePublisher(tmp_path, wall) as publisher:
        value = replace(to_publish(0), services=(usb,))
        assert await publisher.write(VMI, value) == Outcome(OutcomeKind.WRITTEN, value)
        assert (service_status(document)["usbRedirections"], conditions(document)["UsbRedirectionsObserved"]) == (
            2,
            ("True", "Watching"),
        )
        assert await publisher.read(VMI) == Outcome(OutcomeKind.UNCHANGED, value)
    assert service_status(document)["usbRedirections"] == 2
    assert conditions(document)["UsbRedirectionsObserved"] == ("False", "HandlerStopped")
    assert conditions(document)["ConsoleSessionsObserved"] == ("Unknown", "NotWatched")
    async with FilePublisher(tmp_path, wall) as successor:
        taken_over = (await successor.read(VMI)).actual
        assert taken_over is not None
        assert (taken_over.detail, taken_over.services[0].sessions) == (None, 2)


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
    """The file is left for inspection."""
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
    """Python reads such numbers, but other programs cannot read what Python writes for them."""
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
    """The first write creates their common directory."""
    vmis = [VmiId("default", f"vm-{number}", "") for number in range(50)]
    outcomes = await asyncio.gather(*[publisher.write(vmi, to_publish(3)) for vmi in vmis])
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.WRITTEN}
    assert len(list((tmp_path / "default").iterdir())) == 50
