"""`handler-service status` with a handler that answers, one that does not, and none."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from handler_service.admin import status_command
from handler_service.admin.status_command import NoAnswerError, ask
from handler_service.admin.status_service import StatusService, admin_server
from handler_service.model import Assignment, VmiId
from handler_service.status_manager import StatusManager
from servicestatus.admin_server import AdminServer
from tests.unit.handler.builders import VMI
from tests.unit.handler.endpoints.test_static_endpoints import new_hub


def serving(path: Path, manager: StatusManager) -> AdminServer:
    return admin_server(path, StatusService(manager, lambda monotonic: monotonic))


async def run(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> tuple[int, str, str]:
    """Return the exit status and both outputs. It runs in a thread: the test's handler runs in this one."""
    environment = {"HANDLER_SERVICE_ADMIN_SOCKET": str(path)}
    code = await asyncio.to_thread(status_command.main, arguments, environment)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


async def test_it_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON says zero and false, which protobuf leaves out."""
    manager, path = new_hub(), tmp_path / "admin.sock"
    manager.assign(VMI, Assignment(owned=True))
    async with serving(path, manager):
        code, out, err = await run(capsys, path)
        assert (code, err) == (0, "")
        assert out.splitlines()[1].split() == ["default/vm", "VNC", "-", "False", "Unknown", "-", "NoAgent"]
        code, out, err = await run(capsys, path, "-o", "json")
        assert (code, err) == (0, "")
        (service,) = json.loads(out)["statuses"][0]["services"]
        assert (service["sessions"], service["observed"]) == (0, False)


async def test_a_handler_without_vms_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "admin.sock"
    async with serving(path, new_hub()):
        code, out, err = await run(capsys, path)
    assert (code, len(out.splitlines())) == (0, 1)
    assert "no agent was started" in err


async def test_one_vm_is_named_with_or_without_its_namespace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manager, path = new_hub(), tmp_path / "admin.sock"
    for vmi in (VMI, VmiId("other", "vm", ""), VmiId("other", "vm2", "")):
        manager.assign(vmi, Assignment(owned=True))
    async with serving(path, manager):
        for name, shown in (("vm", ["default/vm", "other/vm"]), ("other/vm2", ["other/vm2"])):
            code, out, err = await run(capsys, path, name)
            assert (code, err) == (0, "")
            assert [line.split()[0] for line in out.splitlines()[1:]] == shown
        code, out, err = await run(capsys, path, "m")
        assert (code, out) == (1, "")
        advice = "the handler has no VM m; without a name, all of its VMs are shown"
        assert err == f"handler-service status: error: {advice}\n"


async def test_a_long_path_is_no_obstacle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The address of a unix socket holds 107 bytes."""
    path = tmp_path / ("d" * 200) / "admin.sock"
    path.parent.mkdir()
    async with serving(path, new_hub()):
        assert (await run(capsys, path))[0] == 0


# --- no answer ---


async def test_without_a_handler_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No directory, no socket, or a socket that a killed handler has left."""
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(left))
    for path, cause in (
        (tmp_path / "none" / "admin.sock", f"{tmp_path / 'none'}: No such file or directory"),
        (tmp_path / "admin.sock", f"{tmp_path / 'admin.sock'}: No such file or directory"),
        (left, f"{left}: Connection refused"),
    ):
        advice = f"the handler does not run, or has another --admin-socket than {path}"
        expected = f"handler-service status: error: {cause}; {advice}\n"
        assert await run(capsys, path) == (1, "", expected)


def test_a_frozen_handler_is_not_waited_for(tmp_path: Path) -> None:
    """It accepts connections and never answers."""
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(path))
        frozen.listen()
        with pytest.raises(NoAnswerError, match=r"admin\.sock: the handler has not answered within 0\.2 s"):
            ask(path, timeout=0.2)


async def test_a_wrong_flag_ends_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        status_command.main(["-o", "yaml"], {})
    assert ended.value.code == 2
    assert "handler-service status: error: argument -o/--output: invalid choice: 'yaml'" in capsys.readouterr().err
