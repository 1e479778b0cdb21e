"""The parts of the testbed that need no libvirt: processes, waiting, sampling, grpcurl."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from testbed import procfs
from testbed.grpcurl import Grpcurl, GrpcurlError
from testbed.processes import ManagedProcess, script
from testbed.sampler import Sampler
from testbed.waiting import WaitTimeoutError, wait_until, wait_until_async

# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_wait_returns_what_it_accepted() -> None:
    """The caller gets the observation that ended the wait."""
    values = iter([1, 2, 3, 4])
    assert wait_until(lambda: next(values), lambda value: value > 2, what="more than two") == 3


def test_a_wait_in_vain_says_what_it_last_saw() -> None:
    """The message names the expected condition and the last observation."""
    with pytest.raises(WaitTimeoutError, match=r"not within 0\.02 s: the table is empty; last seen: \['one'\]"):
        wait_until(lambda: ["one"], lambda rows: not rows, what="the table is empty", timeout=0.02)


def test_a_wait_takes_the_named_errors_for_not_yet(tmp_path: Path) -> None:
    """They are retried until the deadline, and then named; every other error ends the wait at once."""
    missing = tmp_path / "missing"
    with pytest.raises(WaitTimeoutError, match="last seen: FileNotFoundError"):
        wait_until(missing.read_text, what="the file is there", timeout=0.02, retry_on=(OSError,))
    with pytest.raises(FileNotFoundError):
        wait_until(missing.read_text, what="the file is there")


async def test_an_asynchronous_wait_observes_either_way() -> None:
    """`observe` may be a plain function or a coroutine function."""
    values = iter(range(9))

    async def ask() -> int:
        return next(values)

    assert await wait_until_async(ask, lambda value: value == 2, what="two") == 2
    assert await wait_until_async(lambda: next(values), lambda value: value == 4, what="four") == 4
    with pytest.raises(WaitTimeoutError, match="last seen: 5"):
        await wait_until_async(ask, lambda value: value == 1, what="one again", timeout=0)


# --- sampling ---------------------------------------------------------------------------------------------------------


def test_a_sampler_records_each_change() -> None:
    """Values in order, each once while it lasts, and the number of samples."""
    value = [0]
    with Sampler(lambda: value[0], interval=0.001) as sampler:
        for number in (1, 2, 1):
            value[0] = number
            wait_until(lambda: sampler.values[-1], number.__eq__, what="it is seen")
    assert sampler.values == [0, 1, 2, 1]
    assert sampler.samples > 4
    assert sampler.changes[0].at < sampler.changes[3].at


def test_a_sampler_raises_what_its_read_raised() -> None:
    """A value that could not be read is an error, not a value."""
    values = iter([1])
    with pytest.raises(StopIteration), Sampler(lambda: next(values)) as sampler:
        wait_until(lambda: sampler.ended, what="it has tried")


# --- processes --------------------------------------------------------------------------------------------------------


def python(code: str, tmp_path: Path) -> ManagedProcess:
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-u", "-c", code]
    return ManagedProcess(argv, log=tmp_path / "log", env={"PYTHONPATH": str(root)})


OBEDIENT = "import signal, sys; signal.signal(signal.SIGTERM, lambda *a: sys.exit(7)); print('up'); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); signal.pause(); signal.pause()"


def test_a_stop_is_asked_for_by_sigterm(tmp_path: Path) -> None:
    """The program's own exit code is returned."""
    with python(OBEDIENT, tmp_path) as process:
        process.wait_for_log("up")
        assert process.stop() == 7
        assert process.returncode == 7


def test_a_program_that_overstays_is_killed_and_reported(tmp_path: Path) -> None:
    """It fails the test, with the end of its log, and is gone."""
    with python(DEAF, tmp_path) as process:
        process.wait_for_log("up")
        with pytest.raises(AssertionError, match=r"still runs after 0\.2 s; its log ends:\nup"):
            process.stop(timeout=0.2)
        assert not process.running


def test_a_restart_has_its_own_part_of_the_log(tmp_path: Path) -> None:
    """A line of an earlier run does not satisfy a wait for a line of the next one."""
    process = python("print('once'); import signal; signal.pause()", tmp_path)
    with process:
        process.wait_for_log("once")
        process.restart()
        process.wait_for_log("once")
        assert process.log_text() == "once\n"
        assert process.log_text(whole=True) == "once\nonce\n"


def test_a_wait_for_the_log_ends_with_the_program(tmp_path: Path) -> None:
    """Without a running program no line can appear, so the wait does not last until the deadline."""
    with python("print('bye')", tmp_path) as process, pytest.raises(AssertionError, match="ended without logging 'hi'"):
        process.wait_for_log("hi", timeout=1000)


def test_a_frozen_program_stands_still_until_thawed(tmp_path: Path) -> None:
    """SIGSTOP is complete when `freeze` returns, and a frozen program can be killed."""
    with python(OBEDIENT, tmp_path) as process:
        process.wait_for_log("up")
        process.freeze()
        assert procfs.state(process.pid) == "T"
        process.thaw()
        assert process.stop() == 7
        process.start().freeze()
    assert not process.running


def test_memory_is_measured_in_bytes(tmp_path: Path) -> None:
    """A Python that holds 32 MiB of its own has at least that much anonymous memory."""
    with python("b = bytearray(b'x') * (32 << 20); print('up'); import signal; signal.pause()", tmp_path) as process:
        process.wait_for_log("up")
        memory = process.memory()
        assert 32 << 20 < memory.anonymous <= memory.resident < 128 << 20
        assert process.open_files() >= 3


def test_the_end_of_the_thread_that_started_it_harms_no_program(tmp_path: Path) -> None:
    """The parent-death signal is about threads; a program that a short-lived thread started lives on."""
    process = python(OBEDIENT, tmp_path)
    starter = threading.Thread(target=process.start)
    starter.start()
    starter.join()
    with pytest.raises(WaitTimeoutError):
        wait_until(lambda: not process.running, what="it is killed", timeout=0.3)
    process.kill()


OWNER = """
from pathlib import Path
from testbed.processes import ManagedProcess
import time
child = ManagedProcess(["sleep", "600"], log=Path("/dev/null")).start()
print("child", child.pid)
time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_program_outlives_the_test_process(tmp_path: Path, end: signal.Signals) -> None:
    """However the test process ends, its children end with it."""
    with python(OWNER, tmp_path) as owner:
        child = int(owner.wait_for_log("child ").split()[1])
        # It is `setpriv` for an instant, before it sets the parent-death signal.
        wait_until(lambda: procfs.command_line(child)[:1], lambda line: line == [b"sleep"], what="it runs")
        owner.signal(end)
        owner.wait()
    wait_until(lambda: procfs.command_line(child), lambda line: not line, what="the child is gone")


def test_the_programs_of_this_project_are_found() -> None:
    """Console scripts of the environment that runs the tests."""
    assert os.access(script("launcher-agent"), os.X_OK)
    assert os.access(script("handler-service"), os.X_OK)


# --- grpcurl ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def servicer() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def debug_api(tmp_path: Path, servicer: health.HealthServicer) -> Iterator[Grpcurl]:
    """A server like that of both programs: health and reflection on a unix socket."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection([health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    server.add_insecure_port(f"unix:{tmp_path}/debug_api.sock")
    server.start()
    yield Grpcurl(tmp_path / "debug_api.sock")
    server.stop(None).wait()


def test_grpcurl_lists_describes_and_calls(debug_api: Grpcurl) -> None:
    """Names and types come by reflection, responses as parsed JSON."""
    assert debug_api.services() == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
    assert "rpc Check" in debug_api.describe("grpc.health.v1.Health")
    assert debug_api.call("grpc.health.v1.Health/Check", {"service": ""}) == {"status": "SERVING"}


def test_grpcurl_tells_a_status_by_its_code(debug_api: Grpcurl, tmp_path: Path) -> None:
    """The server's code and message, and UNKNOWN if no server listens."""
    with pytest.raises(GrpcurlError) as refused:
        debug_api.call("grpc.health.v1.Health/Check", {"service": "none"})
    assert refused.value.code == 5
    with pytest.raises(GrpcurlError, match="Failed to dial"):
        Grpcurl(tmp_path / "missing.sock").call("grpc.health.v1.Health/Check")


def test_grpcurl_watches_a_stream(debug_api: Grpcurl, servicer: health.HealthServicer, tmp_path: Path) -> None:
    """Messages are available as they arrive."""
    with debug_api.watch("grpc.health.v1.Health/Watch", log=tmp_path / "watch.log") as watch:
        wait_until(lambda: watch.messages, [{"status": "SERVING"}].__eq__, what="the first message")
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        both = [{"status": "SERVING"}, {"status": "NOT_SERVING"}]
        wait_until(lambda: watch.messages, both.__eq__, what="the second message")
