"""How both programs start in a container: the scripts of the images, run as the images run them."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "hack/images.d"
PROGRAMS = {"launcher-agent": "launcher_agent", "handler-service": "handler_service", "controller": "controller"}
OPENER = "socket-opener"
TIMEOUT = 200


def _python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-IOO", *arguments], capture_output=True, text=True, check=False, timeout=TIMEOUT
    )


@pytest.mark.parametrize("name", [*PROGRAMS, OPENER])
def test_the_script_of_an_image_runs_the_program(name: str) -> None:
    script = SCRIPTS / name
    assert script.read_text().startswith("#!/usr/bin/python3.13 -IOO\n")
    assert script.stat().st_mode & 0o777 == 0o755
    done = _python(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name} ")


@pytest.mark.parametrize("package", PROGRAMS.values())
def test_nothing_large_is_imported_before_the_signal_is_handled(package: str) -> None:
    code = f"import sys; from {package} import container; print([m for m in ('asyncio', 'grpc') if m in sys.modules])"
    assert _python("-c", code).stdout == "[]\n"


def test_a_signal_before_the_program_is_there_ends_it_at_once() -> None:
    """Without the handler process 1 would not notice it, and another process would end with status -15."""
    # Python calls a handler between two instructions: one long sleep could begin just after the signal, and not be
    # interrupted.
    code = """
import time
from servicestatus.container import end_on_sigterm
end_on_sigterm()
print(flush=True)
while True:
    time.sleep(0.01)
"""
    with subprocess.Popen([sys.executable, "-IOO", "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"\n"
            process.terminate()
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()


# Each takes memory beside every VM, for something that few agents ever do.
UNUSED_BY_THE_AGENT = {
    "_ssl",
    "argparse",
    "google.protobuf.descriptor_pb2",
    "google.protobuf.internal.decoder",
    "google.protobuf.text_format",
    "grpc_reflection.v1alpha.reflection",
    "hmac",
    "secrets",
}


def test_the_agent_imports_nothing_that_it_does_not_use() -> None:
    """With them it would take 3 MiB more beside every VM."""
    code = (
        "import gc, sys; from launcher_agent.container import load; load();"
        "from launcher_agent.main import configuration; configuration([], {}); print(gc.isenabled(), *sys.modules)"
    )
    enabled, *modules = _python("-c", code).stdout.split()
    assert {"asyncio", "grpc", "libvirt", "launcher_agent.main"} <= set(modules)
    assert UNUSED_BY_THE_AGENT.intersection(modules) == set()
    assert enabled == "True"


@pytest.mark.parametrize("name", ["launcher-agent", "handler-service"])
def test_no_program_has_the_messages_in_pure_python(name: str) -> None:
    """They take 1 MiB where protobuf has its C implementation."""
    code = (
        f"import atexit, gc, sys; sys.argv[1:] = ['--help']; from {PROGRAMS[name]}.container import main;"
        "atexit.register(lambda: print(gc.isenabled(), 'grpc' in sys.modules,"
        " sys.modules['google.protobuf.internal.python_message'].__spec__,"
        " 'google.protobuf.internal.decoder' in sys.modules)); main()"
    )
    assert _python("-c", code).stdout.splitlines()[-1] == "True True None False"


def test_messages_work_without_those_in_pure_python() -> None:
    """Well-known types, text and JSON too."""
    code = """
from servicestatus import imports
imports.leave_out_python_message()
from google.protobuf import json_format
from servicestatus.timestamps import timestamp
from servicestatus.v1 import session_report_service_pb2 as pb
message = pb.ReportSessionsRequest(heartbeat=pb.Heartbeat())
assert pb.ReportSessionsRequest.FromString(message.SerializeToString()) == message
print(str(message).split(), json_format.MessageToDict(message), timestamp(1.5).ToJsonString())
try:
    pb.ReportSessionsRequest(other=1)
except ValueError as error:
    print(error)
"""
    done = _python("-c", code)
    assert done.stdout.splitlines() == [
        "['heartbeat', '{', '}'] {'heartbeat': {}} 1970-01-01T00:00:01.500Z",
        'Protocol message ReportSessionsRequest has no "other" field.',
    ], done.stderr


def test_messages_in_pure_python_stay_where_protobuf_needs_them() -> None:
    code = (
        "import os; os.environ['PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION'] = 'python';"
        "from servicestatus import imports; imports.leave_out_python_message();"
        "from servicestatus.v1 import sessions_pb2; print(sessions_pb2.VmiReference(name='vm'))"
    )
    assert _python("-W", "ignore", "-c", code).stdout == 'name: "vm"\n\n'


def test_the_agent_runs_without_ssl() -> None:
    """asyncio imports it where it can; it would take 0.7 MiB beside every VM."""
    code = (
        "import sys; sys.argv[1:] = ['--help']; import atexit; from launcher_agent.container import main;"
        "atexit.register(lambda: print('asyncio' in sys.modules, sys.modules['ssl'], '_ssl' in sys.modules)); main()"
    )
    done = _python("-c", code)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "True None False"
