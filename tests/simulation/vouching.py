"""NeverOutlives: checks each second whether a companion is marked as observed while no program renews that claim."""

import asyncio
from typing import Final

from handler_service.kube import vmi
from tests.simulation.apiserver import ApiServer
from tests.simulation.scene import Scene

#: Seconds after the death of the handler of the VMI's node: its Lease, and ten for the controller.
OUTLIVES: Final = 40.0
#: Seconds after requests reach the API server again: the duration of a Lease, and the time that a watch needs.
_RECOVERS: Final = 30.0


async def look(world: Scene) -> None:
    """Record a violation in `world.wrong`, until cancelled."""
    loop = asyncio.get_running_loop()
    vouched = disturbed = loop.time()
    uid = ""
    while True:
        await asyncio.sleep(1.0)
        now = loop.time()
        if _disturbed(world.api):
            disturbed = now
        if world.vmi is not None and (world.vmi.uid != uid or _has_handler(world)):
            uid, vouched = world.vmi.uid, now
        elif now > max(vouched + OUTLIVES, disturbed + _RECOVERS) and world.says_observed():
            world.wrong.append(("NeverOutlives", f"observed at {now:.3f}, and nothing vouched since {vouched:.3f}"))
            return


def _has_handler(world: Scene) -> bool:
    """Return whether the handler of the VMI's node runs."""
    stored = world.api.get(vmi.path(world.vmi)) if world.vmi else None
    node = stored["metadata"]["labels"].get(vmi.NODE_LABEL) if stored else None
    return node in world.handlers and world.handlers[node].alive


def _disturbed(api: ApiServer) -> bool:
    return not api.up or api.slow or api.refuses is not None or api.watch_lag > 0 or bool(api.fates)
