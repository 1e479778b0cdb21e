"""Other VMIs of a node, whose numbers only rise: together they ask for more writes than the node's bucket has.

Their pods are not simulated. The handler's publish workers get what would follow from the pods' reports.
"""

import asyncio
from typing import Final

from handler_service.kube import vmi
from handler_service.model import DesiredStatus, Reason, VmiId
from handler_service.publishing.worker import PublishWorker
from tests.simulation.scene import NEIGHBOUR, NODES, Scene

#: Seconds between two numbers of a neighbour.
_PACE: Final = 0.8


async def rise(world: Scene) -> None:
    """Create the neighbours on the first node, and raise their numbers until cancelled."""
    names = [f"{NEIGHBOUR}{number:02}" for number in range(world.setting.neighbours)]
    vmis = [VmiId("ns", name, f"uid-of-{name}") for name in names]
    for one in vmis:
        metadata = {"namespace": "ns", "name": one.name, "uid": one.uid, "labels": {vmi.NODE_LABEL: NODES[0]}}
        status = {"nodeName": NODES[0], "phase": "Running", "activePods": {}}
        world.api.commit("POST", vmi.path(one), {"metadata": metadata, "status": status})
    emptied: set[PublishWorker] = set()
    sessions = 0
    while True:
        await asyncio.sleep(_PACE)
        sessions += 1
        for worker in world.handlers[NODES[0]].manager.workers:
            if worker not in emptied:
                emptied.add(worker)
                _empty(worker)
            for one in set(vmis) & set(worker.vmis()):
                worker.set_desired(one, DesiredStatus(sessions, True, Reason.WATCHING, "", None, True, ()))


def _empty(worker: PublishWorker) -> None:
    """Use up the burst of the node's bucket, as a storm of viewers does."""
    while worker.scheduler._bucket.take(asyncio.get_running_loop().time()):
        pass
