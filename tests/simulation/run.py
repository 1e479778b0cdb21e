"""Runs one history, from its first step to the violations."""

import asyncio
import logging
import random

from handler_service.cluster.vouching import WITHDRAW_WITHIN
from servicestatus import contract
from tests.simulation import earned, neighbours, oracles, port_oracles, vouching
from tests.simulation.history import Epoch, History
from tests.simulation.loop import VirtualLoop
from tests.simulation.oracles import Violation
from tests.simulation.scene import DARK, REST
from tests.simulation.world import World

#: One history in so many has a time without any handler.
_WITHOUT_HANDLERS = 4
#: One history in so many ends with handlers that may not write companions any more.
_RIGHTS_LOST = 8


def run(history: History) -> list[Violation]:
    """Return the violations of a history; empty if there are none."""
    logging.disable(logging.CRITICAL)
    before = random.getstate()
    random.seed(history.seed)  # what the programs draw themselves: jitter of pauses
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_live(history))
    finally:
        loop.close()
        random.setstate(before)
        logging.disable(logging.NOTSET)


async def _live(history: History) -> list[Violation]:
    world = World(history.setting, random.Random(history.seed))  # noqa: S311  # chance that can be repeated
    world.begin()
    looks = [asyncio.create_task(vouching.look(world)), asyncio.create_task(earned.look(world))]
    if history.setting.neighbours:
        looks.append(asyncio.create_task(neighbours.rise(world)))
    found: list[Violation] = []
    for epoch in history.epochs:
        await _epoch(world, epoch)
        found += _at_rest(world)
    if history.seed % _WITHOUT_HANDLERS == 0:
        found += await _handlers_away(world)
    if history.epochs:
        rights_lost = history.seed % _RIGHTS_LOST == _RIGHTS_LOST - 2
        found += await (_rights_lost(world) if rights_lost else _lights_out(world))
    for task in looks:
        task.cancel()
    await world.end()
    return found + oracles.in_hindsight(world) + port_oracles.in_hindsight(world)


def _at_rest(world: World) -> list[Violation]:
    doubts = world.pod is not None and world.pod.unknowable
    return oracles.at_rest(world, doubts=doubts) + port_oracles.at_rest(world)


async def _handlers_away(world: World) -> list[Violation]:
    """All handlers are dead for as long as a value may outlive them, and come back: the number stays throughout."""
    before = oracles.published(world)
    world.kill_handlers()
    await asyncio.sleep(vouching.OUTLIVES + 2.0)
    found = oracles.unvouched(world, before)
    await world.heal()
    await asyncio.sleep(REST)
    return found + _at_rest(world)


async def _lights_out(world: World) -> list[Violation]:
    """At the end the agent dies and stays dead: the known number stays, and is marked as not observed."""
    before = oracles.published(world)
    world.stop_agents()
    await asyncio.sleep(DARK)
    return oracles.in_the_dark(world, before)


async def _rights_lost(world: World) -> list[Violation]:
    """The agent dies for good when the handlers may renew their Leases and may not write companions any more.

    What a handler cannot withdraw, the controller does: after a lease, and the time in which a handler must withdraw.
    """
    before = oracles.published(world)
    world.api.companions_forbidden = True
    world.stop_agents()
    await asyncio.sleep(contract.DEFAULT_SETTINGS.lease + WITHDRAW_WITHIN + vouching.OUTLIVES + 2.0)
    return oracles.unvouched(world, before) if world.pod is not None else []  # it has ended, so all is known


async def _epoch(world: World, epoch: Epoch) -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for step in epoch.steps:
        await asyncio.sleep(max(0.0, begin + step.at - loop.time()))
        world.do(step)
    await asyncio.sleep(1.0)
    await world.heal()
    quiet = loop.time()
    await asyncio.sleep(REST)
    await asyncio.sleep(max(quiet, world.settled_since()) + REST - loop.time())  # QEMU may have noticed late
