"""The world of a history: two nodes, one VMI at a time, and a word for everything that may happen to them.

A step says what happens; what ends it again is scheduled at once, and `heal` brings that forward. So any part of a
history is a history, which is what lets it be shrunk.
"""

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

from handler_service.kube import companion, vmi
from handler_service.kube.errors import UnreachableError
from handler_service.values import VmiId
from servicestatus.v1 import session_report_service_pb2 as pb
from tests.simulation.apiserver import ApiServer, Fate, Object, Request, sessions_of
from tests.simulation.history import Setting, Step
from tests.simulation.kubernetes import ApiClient
from tests.simulation.processes import Agent, Handler, Pod, dialler
from tests.simulation.qemu import Libvirt, Viewer
from tests.simulation.transport import Wire
from tests.simulation.truth import Held, Truth

NODES: Final = ("a", "b")
DOMAIN: Final = "ns_vm"
#: Seconds after which gRPC's keepalive gives up a peer that is frozen.
KEEPALIVE: Final = 8.0
#: Seconds that the world rests before it is judged.
REST: Final = 10.0
#: Seconds after which an agent's death must be told: a lease, and what a write needs.
DARK: Final = 15.0 + 4.0
_NEVER: Final = float("inf")
#: Seconds without a viewer after which an agent that sees knows everything: it has asked QEMU, and nothing came near.
_CLEAR: Final = 1.0
#: Seconds for which a client that has moved may disturb a question.
_SETTLED: Final = 0.5
#: Seconds after which every handler knows of a change of the schema, whatever has failed.
_LEARNT: Final = 80.0


class Ack:
    """An Ack that set out, with what was so then."""

    __slots__ = ("at", "places", "pod", "published", "said")

    def __init__(
        self,
        at: float,
        pod: Pod,
        published: int,
        said: dict[int, tuple[float, int, bool]],
        places: list[str],
    ) -> None:
        self.at, self.pod, self.published, self.said, self.places = at, pod, published, said, places


class World:
    """Everything, and the records that the oracles read."""

    def __init__(self, setting: Setting, rng: Random) -> None:
        self.setting = setting
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self.truths: dict[str, Truth] = defaultdict(Truth)
        self.held: dict[tuple[str, str], Held] = defaultdict(Held)
        #: Per handler, place and VMI: when a write set out.
        self.writes: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        #: What is wrong already when it happens: promise and words.
        self.wrong: list[tuple[str, str]] = []
        self.acks: list[Ack] = []
        self.published: Callable[[Ack], None] = self.acks.append
        self._numbers = itertools.count(1)
        self.api = ApiServer(rng, knows_field=setting.knows_field, noted=self._noted)
        self.pods: dict[str, Pod] = {}
        self.handlers: dict[str, Handler] = {}
        self.vmi: VmiId | None = None
        self.pod: Pod | None = None
        self.migrating: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.up_plan: deque[str] = deque()
        self.down_plan: deque[str] = deque()
        self._over = False
        self._zombie: Pod | None = None
        self._field_missed = float("-inf")
        self._companion_began: dict[str, float] = {}
        #: When the VMI's node changed.
        self.flips: list[float] = []

    # --- beginning and end ---

    def begin(self) -> None:
        """One VMI, its pod, and the handlers."""
        for node in NODES:
            self.start_handler(node)
        self._create(self.setting.agent_after, self.setting.boot_after)

    async def end(self) -> None:
        """Nothing runs on."""
        self._over = True
        for pod in self.pods.values():
            if pod.agent is not None:
                pod.agent.kill()
        for handler in self.handlers.values():
            handler.kill()
        for task in (*self._tasks, *((self.migrating,) if self.migrating else ())):
            task.cancel()
        await asyncio.sleep(1.0)

    def do(self, step: Step) -> None:
        """Have a step happen."""
        getattr(self, step.name)(**dict(step.arguments))

    async def heal(self) -> None:
        """All faults end, all that is under way comes to its end."""
        if self.migrating is not None:
            await asyncio.wait([self.migrating])
        self._heal_pods()
        self.api.fates.clear()
        self.api.refuses, self.api.slow, self.api.reverts, self.api.watch_lag = None, False, False, 0.0
        self.api.up = True
        for node in NODES:
            self.start_handler(node)

    def _heal_pods(self) -> None:
        self._zombie = None
        self.up_plan.clear()
        self.down_plan.clear()
        for pod in self.pods.values():
            for wire in pod.wires:
                wire.up.stall(False)
                wire.down.stall(False)
            libvirt = pod.libvirt
            libvirt.refuses = libvirt.slow = False
            libvirt.resume()
            self._start_libvirt(pod)
            for viewer in tuple(libvirt.qemu.viewers if libvirt.qemu else ()):
                if not viewer.finished:
                    libvirt.leave(viewer, 0.05)
            self._start_agent(pod)

    def stop_agents(self) -> None:
        """For good."""
        self._over = True
        for pod in self.pods.values():
            self._kill_agent(pod, half_open=False)

    def settled_since(self) -> float:
        """Since when no viewer has come or gone."""
        return self.truths[self.vmi.uid].now.at if self.vmi else 0.0

    def says_observed(self) -> bool:
        """Whether the companion says that its number is the truth."""
        stored = self.api.get(f"/apis/{companion.API_VERSION}/namespaces/ns/{companion.PLURAL}/vm")
        conditions = stored["status"]["conditions"] if stored else []
        return any(one["type"] == "Observed" and one["status"] == "True" for one in conditions)

    def crashed(self, program: str, error: BaseException) -> None:
        """A program has ended by an error of its own."""
        self.wrong.append(("Crash", f"{program}: {type(error).__name__}: {error}"))

    # --- the VMI ---

    def _create(self, agent_after: float, boot_after: float) -> None:
        self.vmi = VmiId("ns", "vm", f"vmi-{next(self._numbers)}")
        self.pod = self._add_pod(self.vmi, "a")
        metadata = {"namespace": "ns", "name": "vm", "uid": self.vmi.uid, "labels": {vmi.NODE_LABEL: "a"}}
        status = {"nodeName": "a", "phase": "Running", "activePods": {self.pod.uid: "a"}}
        self.truths[self.vmi.uid].note(self._loop.time(), 0, 0, 0)
        self.api.commit("POST", vmi.path(self.vmi), {"metadata": metadata, "status": status})
        pod = self.pod
        self._later(agent_after, lambda: self._start_agent(pod))
        self._later(boot_after, lambda: self._boot(pod))

    def _add_pod(self, owner: VmiId, node: str) -> Pod:
        pod: Pod
        pod = Pod(f"pod-{next(self._numbers)}", owner, node, Libvirt(self._rng, lambda: self._observe(pod)))
        for other in self.pods.values():
            if (other.vmi, other.node) == (owner, node):
                pod.shared = other.shared = True
        self.pods[pod.uid] = pod
        return pod

    def _boot(self, pod: Pod) -> None:
        if pod.uid in self.pods and pod.libvirt.qemu is None:
            pod.unknowable = not self.setting.may_query and not self._watched(pod, 4.0)
            pod.libvirt.define(DOMAIN)
            pod.libvirt.boot()
            self._later(self._rng.uniform(0.01, 0.3), pod.libvirt.announce)

    def _remove_pod(self, pod: Pod) -> None:
        self.pods.pop(pod.uid, None)
        self._kill_agent(pod, half_open=False)
        pod.libvirt.kill()
        pod.libvirt.stop()

    def _observe(self, pod: Pod) -> None:
        """Work out what is so now."""
        now = self._loop.time()
        if pod.clear_since is not None and now >= pod.clear_since + _CLEAR:
            pod.doubtful = False
        alone = pod.libvirt.qemu is None or not pod.libvirt.qemu.viewers
        if not alone or not self._watched(pod, 0.0):
            pod.clear_since = None
        elif pod.clear_since is None:
            pod.clear_since = now
        low = high = floor = 0
        for one in (pod, *self.pods.values()) if pod.uid not in self.pods else self.pods.values():
            if one.vmi != pod.vmi or one.libvirt.qemu is None:
                continue
            qemu = one.libvirt.qemu
            low += qemu.really
            floor += 0 if one.unknowable else qemu.really
            high += len(qemu.viewers) + one.stirred if one.doubtful else qemu.identified + qemu.anonymous_at_most
        self.truths[pod.vmi.uid].note(now, low, max(low, high), floor)

    def _watched(self, pod: Pod, seconds: float) -> bool:
        """Whether an agent and its libvirt have been well for so long."""
        since = self._loop.time() - seconds
        libvirt = pod.libvirt
        well = libvirt.up and not libvirt.hangs and not libvirt.refuses and libvirt.up_since <= since
        return well and pod.agent is not None and pod.agent.started <= since

    def _doubt(self, pod: Pod) -> None:
        """Events are missed from here on, or will have been."""
        pod.doubtful, pod.clear_since = True, None
        pod.unknowable = pod.unknowable or not self.setting.may_query
        self._observe(pod)

    def _stir(self, pod: Pod) -> None:
        """An anonymous client moves. Near a question it may be counted besides the answer that lists it."""
        pod.stirred += 1

        def settle() -> None:
            pod.stirred -= 1
            self._observe(pod)

        self._later(_SETTLED, settle)

    def _patch_vmi(self, change: Callable[[Object], None]) -> None:
        stored = self.api.get(vmi.path(self.vmi)) if self.vmi else None
        if self.vmi is None or stored is None:
            return
        after = _deep(stored)
        change(after)
        self.api.commit("PUT", vmi.path(self.vmi), after)

    # --- the programs ---

    def start_handler(self, node: str) -> None:
        """On a node that has none."""
        if not self._over and (node not in self.handlers or not self.handlers[node].alive):
            name = f"{node}{next(self._numbers)}"
            client = ApiClient(self.api, name, self._asked)
            self.handlers[node] = Handler(
                name, node, client, self.setting.publisher, lambda uid: self._is_on(uid, node), self.crashed
            )

    def _is_on(self, uid: str, node: str) -> bool:
        return uid in self.pods and self.pods[uid].node == node

    def _start_agent(self, pod: Pod) -> None:
        if self._over or pod.agent is not None or pod.uid not in self.pods:
            return
        self._doubt(pod)
        dial = dialler(pod, lambda: self.handlers.get(pod.node), lambda handler: self._wire(pod, handler))
        instance = f"agent-{next(self._numbers)}"
        pod.agent = Agent(instance, pod, self._rng, may_query=self.setting.may_query, dial=dial, crashed=self.crashed)

    def _kill_agent(self, pod: Pod, *, half_open: bool) -> None:
        if pod.agent is None:
            return
        for wire in tuple(pod.wires):
            wire.half_open = half_open
            wire.cut_agent()
            if half_open:
                self._loop.call_later(KEEPALIVE, wire.cut_handler)
        pod.agent.kill()
        pod.agent = None
        self._doubt(pod)

    def _wire(self, pod: Pod, handler: Handler | None) -> Wire:
        wire = Wire(self._rng, self.up_plan, self.down_plan)
        if self._zombie is pod:
            self._zombie = None
            wire.up.stalls_after = 1  # Hello comes through, and what follows comes late
        wire.sent = lambda request: self._said(wire, request)
        wire.answered = lambda response: self._acked(pod, wire, handler, response)
        return wire

    # --- records ---

    def _noted(self, request: Request, object_: Object | None) -> None:
        path = request.path
        shown = sessions_of(path, object_ if object_ is not None else request.body)
        if shown is None or "customresource" in path:
            return
        place, uid, sessions = shown
        if object_ is None and place == "vmi-status":
            return
        self.held[place, uid].note(self._loop.time(), sessions if object_ is not None else 0, request.by)

    def _asked(self, request: Request) -> None:
        now = self._loop.time()
        if request.method == "PATCH" and isinstance(request.body, list):
            self.writes[request.by, "vmi-status", request.body[0]["value"]].append(now)
        elif request.method == "PATCH" and request.path.endswith("/status"):
            began = self._companion_began.pop(request.by, now)
            self.writes[request.by, "companion", request.body["status"]["vmiUID"]].append(began)
        elif request.method in ("POST", "PATCH"):  # the companion is made, or taken over, before its status is written
            self._companion_began.setdefault(request.by, now)

    def _said(self, wire: Wire, request: pb.ReportSessionsRequest) -> None:
        message: pb.Snapshot | pb.Delta
        if request.WhichOneof("message") == "snapshot":
            message = request.snapshot
        elif request.WhichOneof("message") == "delta":
            message = request.delta
        else:
            return
        _, sessions, observed = wire.said.get(message.sequence - 1, (0.0, 0, False))
        if message.services:
            sessions = message.services[0].sessions
        if message.HasField("observation"):
            observed = message.observation.observed
        wire.said[message.sequence] = (self._loop.time(), sessions, observed)

    def _acked(self, pod: Pod, wire: Wire, handler: Handler | None, response: pb.ReportSessionsResponse) -> None:
        if response.WhichOneof("message") == "ack" and response.ack.published:
            now = self._loop.time()
            self.published(Ack(now, pod, response.ack.published, wire.said, self._places(now)))

    def _places(self, now: float) -> list[str]:
        """Where a value must be to be published, as a handler may know it."""
        if not self.api.knows_field:
            self._field_missed = now
        if self.setting.publisher != "auto":
            return [self.setting.publisher]
        return ["companion"] if now < self._field_missed + _LEARNT else ["companion", "vmi-status"]

    # --- steps: viewers ---

    def _connect_to(self, pod: Pod, finish: float) -> Viewer | None:
        self._stir(pod)
        viewer = pod.libvirt.connect_viewer(tcp=self.setting.tcp)
        if viewer is not None and finish >= 0:
            self._later(finish, lambda: pod.libvirt.finish(viewer))
        return viewer

    def connect(self, finish: float) -> None:
        """A viewer dials, and finishes its handshake so many seconds later; never if that is negative."""
        if self.pod is not None:
            self._connect_to(self.pod, finish)

    def leave(self, who: int, notice: float) -> None:
        """One leaves, and QEMU notices so many seconds later."""
        viewers = self._present()
        if self.pod is not None and viewers:
            self.pod.libvirt.leave(viewers[who % len(viewers)], notice)

    def takeover(self, early: bool, notice: float, finish: float) -> None:
        """Through KubeVirt's proxy: the old viewer goes before, or after, the new one has finished."""
        if self.pod is None:
            return
        before = self._present()
        new = self._connect_to(self.pod, finish)
        if new is None:
            return
        libvirt = self.pod.libvirt

        def throw_out() -> None:
            for viewer in before:
                libvirt.leave(viewer, 0.0005)

        self._later(notice if early else finish + notice, throw_out)

    def crowd(self, count: int, apart: float) -> None:
        """Many come, one after the other, and go again."""
        if self.pod is None:
            return
        pod = self.pod
        for number in range(count):
            self._later(number * apart, lambda: self._visit(pod, count * apart))

    def _visit(self, pod: Pod, seconds: float) -> None:
        viewer = self._connect_to(pod, 0.001)
        if viewer is not None:
            self._later(seconds, lambda: pod.libvirt.leave(viewer, 0.03))

    def _present(self) -> list[Viewer]:
        qemu = self.pod.libvirt.qemu if self.pod is not None else None
        return [viewer for viewer in qemu.viewers if not viewer.gone] if qemu else []

    # --- steps: the VM ---

    def vm_restart(self, seconds: float) -> None:
        """QEMU dies; libvirt starts the domain again in the same pod."""
        pod = self.pod
        if pod is not None and self.migrating is None:
            pod.libvirt.kill()
            self._later(seconds, lambda: self._boot(pod))

    def vm_end(self, goodbye: bool, seconds: float) -> None:
        """The VM ends for good: its QEMU, then its agent, then the object's phase, then the pod."""
        if self.pod is None or self.migrating is not None:
            return
        pod, self.pod = self.pod, None
        pod.libvirt.kill()
        pod.libvirt.undefine()
        if goodbye:
            self._later(0.05, lambda: self._stop_agent(pod, _NEVER))
        self._later(seconds, lambda: self._patch_vmi(_succeeded))
        self._later(seconds + 1.0, lambda: self._remove_pod(pod))

    def vm_new(self, seconds: float) -> None:
        """The object is deleted, with its pod, and made anew under the same name."""
        if self.vmi is None or self.migrating is not None:
            return
        former, self.vmi = self.vmi, None
        for pod in [pod for pod in self.pods.values() if pod.vmi == former]:
            self._remove_pod(pod)
        self.pod = None
        self.api.delete(vmi.path(former))
        self._later(seconds, lambda: self._create(0.1, 0.2) if self.vmi is None else None)

    def migrate(self, succeeds: bool, cut: float, flip: float, redial: float, stopped: float) -> None:
        """A live migration to the other node, its events in the order and at the distances that were measured."""
        if self.pod is not None and self.migrating is None and self.pod.libvirt.qemu is not None:
            plan = self._migration(self.pod, succeeds, cut, flip, redial, stopped)
            self.migrating = self._loop.create_task(plan)
            self.migrating.add_done_callback(self._migrated)

    def _migrated(self, task: "asyncio.Task[None]") -> None:
        self.migrating = None
        self._done(task)

    async def _migration(
        self, source: Pod, succeeds: bool, cut: float, flip: float, redial: float, stopped: float
    ) -> None:
        node = NODES[1 - NODES.index(source.node)]
        target = self._add_pod(source.vmi, node)
        self._patch_vmi(lambda object_: object_["status"]["activePods"].update({target.uid: ""}))
        await asyncio.sleep(0.3)
        self._start_agent(target)
        self._patch_vmi(lambda object_: object_["status"]["activePods"].update({target.uid: node}))
        await asyncio.sleep(0.5)
        self._patch_vmi(lambda object_: object_["metadata"]["labels"].update({vmi.MIGRATION_TARGET_LABEL: node}))
        await asyncio.sleep(1.4)
        target.libvirt.domain = DOMAIN
        target.unknowable = not self.setting.may_query
        target.libvirt.boot()
        target.libvirt.announce()
        await asyncio.sleep(0.06)
        if not succeeds or source.libvirt.qemu is None:
            await self._abort_migration(target)
            return
        await self._switch(source, target, cut, flip, redial, stopped)

    async def _switch(self, source: Pod, target: Pod, cut: float, flip: float, redial: float, stopped: float) -> None:
        start = self._loop.time()
        self.pod = None  # nobody gets through until the switch is over
        viewers = [viewer for viewer in (source.libvirt.qemu.viewers if source.libvirt.qemu else ()) if not viewer.gone]
        self._later(cut, lambda: source.libvirt.cut(viewers))
        self._later(0.05, lambda: target.libvirt.define(DOMAIN))
        await asyncio.sleep(flip)
        self.flips.append(self._loop.time())
        self._patch_vmi(lambda object_: _flip(object_, target.node))
        await asyncio.sleep(max(flip, cut) + 0.001 - flip)
        self.pod = target
        if redial >= 0:
            for viewer in viewers:
                if viewer.finished:
                    self._later(start + redial - self._loop.time(), lambda: self._connect_to(target, 0.001))
        await asyncio.sleep(max(0.0, start + stopped - self._loop.time()))
        self._patch_vmi(lambda object_: object_["metadata"]["labels"].pop(vmi.MIGRATION_TARGET_LABEL, None))
        source.libvirt.kill()
        source.libvirt.undefine()
        self._later(0.5, source.libvirt.stop)
        self._later(8.0, lambda: self._leave_node(source))
        await asyncio.sleep(max(0.0, start + redial + 0.01 - self._loop.time()))

    async def _abort_migration(self, target: Pod) -> None:
        self._patch_vmi(lambda object_: object_["metadata"]["labels"].pop(vmi.MIGRATION_TARGET_LABEL, None))
        target.libvirt.kill()
        await asyncio.sleep(self._rng.uniform(0.1, 4.0))
        self._leave_node(target)

    def _leave_node(self, pod: Pod) -> None:
        self._patch_vmi(lambda object_: object_["status"]["activePods"].pop(pod.uid, None))
        self._remove_pod(pod)

    # --- steps: libvirt ---

    def libvirt_restart(self, seconds: float) -> None:
        """virtqemud dies; virt-launcher starts another one."""
        if self.pod is not None:
            pod = self.pod
            pod.libvirt.stop()
            self._doubt(pod)
            self._later(seconds, lambda: self._start_libvirt(pod))

    def _start_libvirt(self, pod: Pod) -> None:
        if not pod.libvirt.up and pod.libvirt.qemu is not None:
            self._doubt(pod)
            pod.libvirt.start()

    def libvirt_hang(self, seconds: float) -> None:
        """virtqemud does nothing for a while."""
        if self.pod is not None:
            pod = self.pod
            pod.libvirt.hang()
            self._doubt(pod)
            self._later(seconds, lambda: self._resume_libvirt(pod))

    def _resume_libvirt(self, pod: Pod) -> None:
        self._doubt(pod)
        pod.libvirt.resume()

    def libvirt_slow(self, seconds: float) -> None:
        """Events need up to a tenth of a second."""
        if self.pod is not None:
            libvirt = self.pod.libvirt
            libvirt.slow = True
            self._later(seconds, lambda: setattr(libvirt, "slow", False))

    def query_refused(self, seconds: float) -> None:
        """QEMU cannot be asked."""
        if self.pod is not None:
            libvirt = self.pod.libvirt
            libvirt.refuses = True
            self._later(seconds, lambda: setattr(libvirt, "refuses", False))

    # --- steps: the programs and what is between them ---

    def agent_kill(self, half_open: bool, seconds: float) -> None:
        """SIGKILL; the handler notices at once, or only by keepalive. The kubelet starts another one."""
        if self.pod is not None:
            pod = self.pod
            self._kill_agent(pod, half_open=half_open)
            self._later(seconds, lambda: self._start_agent(pod))

    def agent_zombie(self, seconds: float) -> None:
        """It has dialled anew, and is killed with its Snapshot on the way: that arrives after its successor's."""
        if self.pod is None:
            return
        pod = self._zombie = self.pod
        for wire in self._wires():
            wire.cut()

        def die() -> None:
            wires = tuple(pod.wires)
            self._kill_agent(pod, half_open=True)
            self._later(0.1, lambda: self._start_agent(pod))
            for wire in wires:
                self._later(2.5, lambda wire=wire: wire.up.stall(False))  # type: ignore[misc]

        self._later(seconds, die)

    def agent_stop(self, seconds: float) -> None:
        """SIGTERM, and another one."""
        if self.pod is not None:
            self._stop_agent(self.pod, seconds)

    def _stop_agent(self, pod: Pod, seconds: float) -> None:
        agent = pod.agent
        if agent is None:
            return

        async def stop() -> None:
            await agent.stop()
            if pod.agent is agent:
                self._kill_agent(pod, half_open=False)
            if seconds != _NEVER:
                self._later(seconds, lambda: self._start_agent(pod))

        self._spawn(stop())

    def wire_cut(self, handler_after: float) -> None:
        """The connection breaks; the handler notices so much later than the agent."""
        for wire in self._wires():
            wire.half_open = True
            wire.cut_agent()
            self._later(handler_after, wire.cut_handler)

    def wire_stall(self, way: str, seconds: float) -> None:
        """Nothing arrives for a while; both ends give up when keepalive does."""
        for wire in self._wires():
            for name, pipe in (("up", wire.up), ("down", wire.down)):
                if way in (name, "both"):
                    pipe.stall(True)
            self._later(min(seconds, KEEPALIVE), lambda wire=wire: _unstall(wire, seconds))  # type: ignore[misc]

    def wire_lose(self, way: str, count: int) -> None:
        """So many messages are lost."""
        (self.up_plan if way == "up" else self.down_plan).extend(["lose"] * count)

    def wire_double(self, way: str, count: int) -> None:
        """So many messages arrive twice."""
        (self.up_plan if way == "up" else self.down_plan).extend(["double"] * count)

    def _wires(self) -> list[Wire]:
        return [wire for wire in self.pod.wires if wire.status is None] if self.pod is not None else []

    def handler_kill(self, node: int, seconds: float) -> None:
        """SIGKILL; the kubelet starts another one."""
        self.handlers[NODES[node]].kill()
        self._later(seconds, lambda: self.start_handler(NODES[node]))

    def handler_stop(self, node: int, seconds: float) -> None:
        """SIGTERM, as in an upgrade."""
        handler = self.handlers[NODES[node]]

        async def stop() -> None:
            await handler.stop()
            await asyncio.sleep(seconds)
            self.start_handler(NODES[node])

        if handler.alive:
            self._spawn(stop())

    # --- steps: the API server ---

    def api_down(self, seconds: float) -> None:
        """It is not there."""
        self.api.stop()
        self._later(seconds, lambda: setattr(self.api, "up", True))

    def api_fates(self, fate: str, count: int) -> None:
        """The next writes fare so."""
        self.api.fates.extend([Fate[fate]] * count)

    def api_refuses(self, fate: str, seconds: float) -> None:
        """All writes fare so for a while."""
        self.api.refuses = Fate[fate]
        self._later(seconds, lambda: setattr(self.api, "refuses", None))

    def api_slow(self, seconds: float) -> None:
        """Requests need a second each way."""
        self.api.slow = True
        self._later(seconds, lambda: setattr(self.api, "slow", False))

    def api_reverts(self, seconds: float) -> None:
        """KubeVirt's webhook restores the old status, and says 200."""
        self.api.reverts = True
        self._later(seconds, lambda: setattr(self.api, "reverts", False))

    def api_schema(self, knows: bool) -> None:
        """The VMI's schema gains or loses the field."""
        self._places(self._loop.time())
        self.api.learn_field(knows)
        if not knows:
            self._patch_vmi(lambda object_: object_["status"].pop("serviceStatus", None))

    def watch_gap(self, forget: bool) -> None:
        """All watches break, and perhaps cannot be taken up where they were."""
        if forget:
            self.api.forget_history()
        self.api.cut_watches(UnreachableError("no answer: connection reset"))

    def watch_lag(self, lag: float, seconds: float) -> None:
        """Watches are late."""
        self.api.watch_lag = lag
        self._later(seconds, lambda: setattr(self.api, "watch_lag", 0.0))

    def foreign_erase(self) -> None:
        """virt-handler writes all that it knows, with a typed PUT."""
        self._patch_vmi(lambda object_: object_["status"].pop("serviceStatus", None))

    def foreign_touch(self) -> None:
        """Somebody writes something else."""
        self._patch_vmi(lambda object_: object_["metadata"].update({"touched": next(self._numbers)}))

    def companion_lost(self) -> None:
        """Somebody deletes the companion."""
        if self.vmi is not None:
            base = f"/apis/{companion.API_VERSION}/namespaces/ns/{companion.PLURAL}/vm"
            self.api.delete(base)

    # --- inside ---

    def _later(self, seconds: float, what: Callable[[], object]) -> None:
        self._loop.call_later(max(0.0, seconds), what)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.crashed("the simulation itself", task.exception())  # type: ignore[arg-type]


def _deep(object_: Object) -> Object:
    return {key: _deep(value) if isinstance(value, dict) else value for key, value in object_.items()}


def _succeeded(object_: Object) -> None:
    object_["status"]["phase"] = "Succeeded"


def _flip(object_: Object, node: str) -> None:
    object_["metadata"]["labels"][vmi.NODE_LABEL] = node
    object_["status"]["nodeName"] = node


def _unstall(wire: Wire, seconds: float) -> None:
    if not (wire.up.stalled or wire.down.stalled):
        return
    if seconds >= KEEPALIVE:
        wire.cut()
    wire.up.stall(False)
    wire.down.stall(False)
