"""Measures the highest load of a node: each of its 250 VMs gets a viewer, then all viewers leave at once.

The measured time is from the moment when all viewers leave until each VMI shows no viewer. It includes the 1 s
debounce, because a viewer that was cut off often reconnects. The writes must stay within the limit of the node's
bucket.
"""

import time
from dataclasses import replace
from typing import Final

from bench.nodes import Work, working
from bench.results import Figure, Row
from bench.sides import OURS
from bench.stage import Stage
from handler_service.publishing.policy import NODE_BURST, NODE_INTERVAL
from testbed.waiting import wait_until
from tests.apiserver.client import Recorder
from tests.apiserver.vmis import service_status
from tests.cluster.objects import Object

VMS: Final = 250
#: Seconds in which the viewers connect. The VMs of a real node need a minute, so this is the higher load.
BOOT: Final = 30.0


def measure(stage: Stage) -> list[Row]:
    """Measure each side once."""
    late: dict[str, Figure] = {}
    writes: dict[str, Figure] = {}
    for side in stage.sides:
        with working(stage, side, stage.size(VMS)) as work:
            before, begin = stage.writes(), time.monotonic()
            late[side.name] = Figure.of(_leave(stage, work))
            most = NODE_BURST + (time.monotonic() - begin) / NODE_INTERVAL
            writes[side.name] = Figure.of([(stage.writes() - before) / most])
    row = Row.of("250 viewers leave at once -> each VMI shows no viewer", "s", late, "all <= 2")
    return [
        replace(row, reached=late[OURS].high <= 2),
        Row.of("API writes from boot to then, to what our node's bucket lets", "x", writes, "<= 1", 1),
    ]


def _leave(stage: Stage, work: Work) -> list[float]:
    """Return the seconds of each VMI."""
    names = {vmi.name for vmi in work.crowd.vmis}
    with Recorder(stage.client, work.crowd.vmis[0].path.rpartition("/")[0]) as recorder:
        work.load.do("spread", sessions=1, seconds=stage.seconds(BOOT))
        wait_until(
            lambda: _shown(recorder, names, 1), lambda at: len(at) == len(names), what="all are shown", timeout=60
        )
        begin = time.monotonic()
        work.load.do("set", sessions=0)
        gone = wait_until(
            lambda: _shown(recorder, names, 0, begin), lambda at: len(at) == len(names), what="all are gone", timeout=60
        )
    return [at - begin for at in gone.values()]


def _shown(recorder: Recorder, names: set[str], sessions: int, since: float = 0.0) -> dict[str, float]:
    """Return when the newest version of each VMI was seen, for the VMIs whose newest version shows `sessions`."""
    newest = {event.object["metadata"]["name"]: event for event in list(recorder.events)}
    return {
        name: event.at
        for name, event in newest.items()
        if name in names and event.at >= since and _number(event.object) == sessions
    }


def _number(vmi: Object) -> int:
    return int((service_status(vmi) or {}).get("vncSessions", 0))
