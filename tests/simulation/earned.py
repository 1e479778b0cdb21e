"""ObservedIsEarned: checks twice a second that no agent observes what libvirt or QEMU does not answer for."""

import asyncio
from typing import Final

from servicestatus.services import POLLED
from tests.simulation.processes import Agent, Pod
from tests.simulation.qemu import Libvirt
from tests.simulation.scene import Scene

#: Seconds without a response of libvirt after which nothing is observed any more.
_OBSERVED_AT_MOST: Final = 10.0
#: Seconds that a poll may take, in addition to the interval between two.
_POLL_LATE: Final = 2.0


async def look(world: Scene) -> None:
    """Record the first violation in `world.wrong`, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0.5)
        for pod in world.pods.values():
            words = _unearned(pod, loop.time(), world.setting.poll)
            if words:
                world.wrong.append(("ObservedIsEarned", f"{pod.uid} {words}, at {loop.time():.3f}"))
                return


def _unearned(pod: Pod, now: float, poll: float) -> str:
    """Return what the agent claims wrongly; empty if nothing."""
    agent, libvirt = pod.agent, pod.libvirt
    if agent is None:
        return ""
    if libvirt.silent_since is not None:
        if now > libvirt.silent_since + _OBSERVED_AT_MOST and _observes(agent):
            return f"is observed, and libvirt has not answered since {libvirt.silent_since:.3f}"
        return ""
    refused_since = _polls_refused_since(libvirt)
    if poll and refused_since is not None and now > refused_since + _POLL_LATE + poll and _observes_ports(agent):
        return f"has observed ports, and QEMU has refused each poll since {refused_since:.3f}"
    return ""


def _polls_refused_since(libvirt: Libvirt) -> float | None:
    """Return since when each poll is refused. A poll is not refused, but waits, while libvirt does not answer."""
    if libvirt.refuses_since is None or libvirt.qemu is None or not libvirt.up:
        return None
    return max(libvirt.refuses_since, libvirt.answers_since, libvirt.qemu.began)


def _observes(agent: Agent) -> bool:
    """Return whether it reports an observation of any service."""
    report = agent.state.report()
    return report.observation.reason.observed or any(one.observation.reason.observed for one in report.services)


def _observes_ports(agent: Agent) -> bool:
    services = agent.state.report().services
    return any(one.service in POLLED and one.observation.reason.observed for one in services)
