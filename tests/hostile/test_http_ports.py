"""Attackers of the handler's HTTP ports: the handler neither grows nor ends, no value is late, and probes pass."""

import http.client
import itertools
import sys
import time
from pathlib import Path

import pytest

from testbed.promises import SHOWN_WITHIN
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.apiserver.peers import Peers
from tests.cluster.ports import free_port
from tests.hostile.http_attacks import HTTP_ATTACKS
from tests.hostile.stage import Attacker, Stage
from tests.hostile.test_launcher import LINE

MIB = 1024 * 1024
#: Bytes, of the 256 MiB that its container may use: 32 connections, each with a read of 256 KiB and what is made of it.
BOUND = 16 * MIB
#: Seconds, as the DaemonSet's livenessProbe states it.
PROBE_TIMEOUT = 10.0
#: Seconds of an attack, at least.
ATTACK = 4.0
#: VMs of the handler, so that a scrape has the size that a node's has.
VMS = 100


@pytest.mark.parametrize("attack", HTTP_ATTACKS)
def test_an_attack_on_the_http_ports_harms_nothing(attack: str, tmp_path: Path) -> None:
    """At most 16 MiB; the value of a VM is shown on time, each probe is answered, and both ports serve afterwards."""
    probes, metrics = free_port(), free_port()
    ports = f"--probe-address=127.0.0.1:{probes}", f"--metrics-address=127.0.0.1:{metrics}"
    vms = (f"--endpoint=default/vm-{number}={tmp_path / str(number)}" for number in range(VMS))
    with Peers() as peers, Stage(peers, *ports, *vms) as stage:
        wait_until(lambda: _get(probes, "/readyz"), (200).__eq__, what="it is ready", retry_on=(OSError,))
        _get(metrics, "/metrics")
        before = stage.memory()
        with Sampler(stage.memory) as memory, Attacker(attack, [probes, metrics]) as attacker:
            start, cpu, slowest, latency = time.monotonic(), stage.handler.cpu_seconds(), 0.0, 0.0
            for sessions in itertools.count(1):
                began = time.monotonic()
                assert _get(probes, "/healthz") == 200
                slowest = max(slowest, time.monotonic() - began)
                latency = max(latency, stage.neighbours_word(sessions))
                if time.monotonic() > start + ATTACK:
                    break
            busy = (stage.handler.cpu_seconds() - cpu) / (time.monotonic() - start)
        grown = max(memory.values) - before
        sys.stdout.write(
            f"{attack}: {grown / MIB:.1f} MiB; neighbour {latency:.1f} s; slowest probe {slowest:.2f} s;"
            f" {attacker.units} units; {100 * busy:.0f} % of a core; {len(stage.handler.log_text())} bytes of log\n"
        )
        assert latency < SHOWN_WITHIN
        assert grown <= BOUND
        assert stage.handler.running
        log = stage.handler.log_text()
        assert all(LINE.match(line) for line in log.splitlines()), log[:2000]
        # A handler that waits for its agents for a lease says so, on a busy machine.
        assert len([line for line in log.splitlines() if "status_manager" not in line]) <= 3, log[:2000]
        wait_until(lambda: _get(metrics, "/metrics"), (200).__eq__, what="it is scraped again", retry_on=(OSError,))


def _get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()
