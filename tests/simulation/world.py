"""The steps of a history: everything that may happen to the two nodes and their VMI.

A step starts a fault and schedules its end at once; `heal` ends it earlier. So any part of a history is a history,
which makes shrinking possible.
"""

import asyncio
from typing import Final

from handler_service.kube import companion, vmi
from handler_service.kube.errors import UnreachableError
from tests.simulation.apiserver import Fate, Object
from tests.simulation.ports import Ports
from tests.simulation.processes import Pod
from tests.simulation.qemu import Viewer
from tests.simulation.scene import DOMAIN, KEEPALIVE, NEVER, NODES, Scene
from tests.simulation.transport import Wire

#: Seconds between two takeovers of the console, and between those by several clients at a time.
_APART: Final = 0.31
_RIVALS_APART: Final = 0.09


class World(Scene):
    """Each public method is a step of a history."""

    # --- steps: viewers ---

    def _connect_to(self, pod: Pod, finish: float) -> Viewer | None:
        self._stir(pod)
        viewer = pod.libvirt.connect_viewer(tcp=self.setting.tcp)
        if viewer is not None and finish >= 0:
            self._later(finish, lambda: pod.libvirt.finish(viewer))
        return viewer

    def connect(self, finish: float) -> None:
        """A viewer dials, and finishes its handshake after so many seconds; never if that is negative."""
        if self.pod is not None:
            self._connect_to(self.pod, finish)

    def twin(self, who: int, finish: float) -> None:
        """A viewer dials from the address and port of another one, at another of QEMU's listeners."""
        viewers = self._present()
        if self.pod is not None and viewers:
            libvirt = self.pod.libvirt
            self._stir(self.pod)
            viewer = libvirt.connect_twin(viewers[who % len(viewers)])
            if viewer is not None and finish >= 0:
                self._later(finish, lambda: libvirt.finish(viewer))

    def leave(self, who: int, notice: float) -> None:
        """One leaves, and QEMU notices after so many seconds."""
        viewers = self._present()
        if self.pod is not None and viewers:
            self.pod.libvirt.leave(viewers[who % len(viewers)], notice)

    def takeover(self, early: bool, notice: float, finish: float) -> None:
        """Through KubeVirt's proxy: the old viewer is cut off before, or after, the new one has finished."""
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
        """Many connect, one after the other, and leave again."""
        if self.pod is None:
            return
        pod = self.pod
        for number in range(count):
            self._later(number * apart, lambda: self._visit(pod, count * apart))

    def _visit(self, pod: Pod, seconds: float) -> None:
        # KubeVirt's proxy connects no viewer to where the VM has left.
        viewer = self._connect_to(pod, 0.001) if pod is self.pod else None
        if viewer is not None:
            self._later(seconds, lambda: pod.libvirt.leave(viewer, 0.03))

    # --- steps: ports ---

    def device_plug(self, slot: int, attaches: bool) -> None:
        """A client connects to a slot, if that is free; with a device, or with none."""
        ports = self._ports()
        if ports is not None and not ports.slots[slot].connected:
            ports.slots[slot].connected, ports.slots[slot].attached = True, attaches
            self._changed_ports()

    def device_unplug(self, slot: int, stays: bool) -> None:
        """The device is gone; the client may stay connected."""
        ports = self._ports()
        if ports is not None:
            ports.slots[slot].connected, ports.slots[slot].attached = ports.slots[slot].connected and stays, False
            self._changed_ports()

    def console_open(self) -> None:
        """A client connects to the console, if that is free."""
        ports = self._ports()
        if ports is not None:
            ports.console.connected = True
            self._changed_ports()

    def console_close(self) -> None:
        """The client leaves."""
        ports = self._ports()
        if ports is not None and not ports.handing_over:
            ports.console.connected = False
            self._changed_ports()

    def console_takeover(self, gap: float, times: int) -> None:
        """Through KubeVirt's proxy, again and again: the old client is cut off before the new one is connected."""
        pod = self.pod
        for number in range(times):
            for rival in range(self.setting.rivals):
                seconds = number * _APART + rival * _RIVALS_APART
                self._later(seconds, lambda: self._take_console_over(gap) if pod is self.pod else None)

    def _take_console_over(self, gap: float) -> None:
        ports = self._ports()
        if ports is None or not ports.take_over(self._loop.time()):
            return

        def connect() -> None:
            ports.console.connected = True
            ports.handing_over -= 1

        self._later(gap, connect)

    def _ports(self) -> Ports | None:
        qemu = self.pod.libvirt.qemu if self.pod is not None else None
        return qemu.ports if qemu is not None else None

    def _changed_ports(self) -> None:
        if self.pod is not None:
            self.pod.libvirt.changed_ports()

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

    def vm_restart_early(self, seconds: float) -> None:
        """QEMU dies and starts again, and a viewer is connected before libvirt is ready: by TCP, or on a host."""
        pod = self.pod
        if pod is not None and self.migrating is None:
            pod.libvirt.kill()
            self._later(seconds, lambda: self._boot_early(pod))

    def _boot_early(self, pod: Pod) -> None:
        if pod.libvirt.qemu is None:
            self._boot(pod)
            if self.setting.tcp or self.setting.on_host:
                pod.libvirt.connect_early(tcp=self.setting.tcp)

    def vm_end(self, goodbye: bool, seconds: float) -> None:
        """The VM ends for good: its QEMU, then its agent, then the object's phase, then the pod."""
        if self.pod is None or self.migrating is not None:
            return
        pod, self.pod, ended = self.pod, None, self.vmi
        pod.libvirt.kill()
        pod.libvirt.undefine()
        if goodbye:
            self._later(0.05, lambda: self._stop_agent(pod, NEVER))
        self._later(seconds, lambda: self._patch_vmi(_succeeded) if self.vmi == ended else None)
        self._later(seconds + 1.0, lambda: self._remove_pod(pod))

    def vm_new(self, seconds: float) -> None:
        """The object is deleted, with its pod, and created again under the same name."""
        if self.vmi is None or self.migrating is not None:
            return
        former, self.vmi = self.vmi, None
        for pod in [pod for pod in self.pods.values() if pod.vmi == former]:
            self._remove_pod(pod)
        self.pod = None
        self.api.delete(vmi.path(former))
        self._later(seconds, lambda: self._create(0.1, 0.2) if self.vmi is None else None)

    def vm_swap(self, seconds: float) -> None:
        """A viewer connects, and while a slow API server executes the write, the object is replaced."""
        if self.pod is not None:
            self.api_slow(2.0)
            self._connect_to(self.pod, 0.001)
            self._later(0.08, lambda: self.vm_new(seconds))

    def migrate(self, succeeds: bool, cut: float, flip: float, redial: float, stopped: float) -> None:
        """A live migration to the other node, with its events in the measured order and at the measured distances."""
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
        self.pod = None  # no viewer reaches the VM until the switch is over
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
        self._later(0.5, source.libvirt.end)
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

    def libvirt_hang(self, seconds: float) -> None:
        """virtqemud does not respond for a while."""
        if self.pod is not None:
            self.pod.libvirt.hang()
            self._begin_silence(self.pod, seconds)

    def libvirt_locked(self, seconds: float) -> None:
        """libvirt holds the domain's lock: no event, no answer, and no error either."""
        if self.pod is not None and not self.pod.libvirt.silent:
            self.pod.libvirt.lock()
            self._begin_silence(self.pod, seconds)

    def _begin_silence(self, pod: Pod, seconds: float) -> None:
        since = pod.libvirt.silent_since
        if since is None:
            return  # libvirt is down, or there is no QEMU whose lock it could hold
        self._doubt(pod)
        self._later(seconds, lambda: self._end_silence(pod, since))

    def _end_silence(self, pod: Pod, since: float) -> None:
        if pod.libvirt.silent_since == since:  # not a later silence
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
            libvirt.refuse()
            since = libvirt.refuses_since
            # Not a later refusal.
            self._later(seconds, lambda: libvirt.accept() if libvirt.refuses_since == since else None)

    # --- steps: the programs and the connections between them ---

    def agent_kill(self, half_open: bool, seconds: float) -> None:
        """SIGKILL; the handler notices at once, or only by keepalive. The kubelet starts another one."""
        if self.pod is not None:
            pod = self.pod
            self._kill_agent(pod, half_open=half_open)
            self._later(seconds, lambda: self._start_agent(pod))

    def agent_zombie(self, seconds: float) -> None:
        """It has dialled again, and is killed with its Snapshot in transit: that arrives after its successor's."""
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
            if seconds != NEVER:
                self._later(seconds, lambda: self._start_agent(pod))

        self._spawn(stop())

    def wire_cut(self, handler_after: float) -> None:
        """The connection breaks; the handler notices later than the agent."""
        for wire in self._wires():
            wire.half_open = True
            wire.cut_agent()
            self._later(handler_after, wire.cut_handler)

    def wire_stall(self, way: str, seconds: float) -> None:
        """Nothing arrives for a while; both ends close when keepalive fails."""
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
            self._later(seconds, lambda: self.start_handler(NODES[node]))

        if handler.alive:
            self._spawn(stop())

    # --- steps: the API server ---

    def api_down(self, seconds: float) -> None:
        """It does not answer."""
        self.api.stop()
        self._later(seconds, lambda: setattr(self.api, "up", True))

    def api_fates(self, fate: str, count: int) -> None:
        """The next writes have these fates."""
        self.api.fates.extend([Fate[fate]] * count)

    def api_refuses(self, fate: str, seconds: float) -> None:
        """All writes have this fate for a while."""
        self.api.refuses = Fate[fate]
        self._later(seconds, lambda: setattr(self.api, "refuses", None))

    def api_slow(self, seconds: float) -> None:
        """Requests need a second in each direction."""
        self.api.slow = True
        self._later(seconds, lambda: setattr(self.api, "slow", False))

    def api_reverts(self, seconds: float) -> None:
        """KubeVirt's webhook restores the old status, and answers 200."""
        self.api.reverts = True
        self._later(seconds, lambda: setattr(self.api, "reverts", False))

    def api_schema(self, knows: bool) -> None:
        """The VMI's schema gains or loses the field."""
        self._places(self._loop.time())
        self.api.learn_field(knows)
        if not knows:
            self._patch_vmi(lambda object_: object_["status"].pop("serviceStatus", None))

    def watch_gap(self, forget: bool) -> None:
        """All watches break, and perhaps cannot be resumed."""
        if forget:
            self.api.forget_history()
        self.api.cut_watches(UnreachableError("no answer: connection reset"))

    def watch_lag(self, lag: float, seconds: float) -> None:
        """Watches are late."""
        self.api.watch_lag = lag
        self._later(seconds, lambda: setattr(self.api, "watch_lag", 0.0))

    def foreign_erase(self) -> None:
        """virt-handler writes a typed PUT without the field; like all requests, only if it reaches the API server."""
        if self.api.up:
            self._patch_vmi(lambda object_: object_["status"].pop("serviceStatus", None))

    def foreign_touch(self) -> None:
        """Another client writes another field."""
        self._patch_vmi(lambda object_: object_["metadata"].update({"touched": next(self._numbers)}))

    def companion_lost(self) -> None:
        """Another client deletes the companion."""
        if self.vmi is not None and self.api.up:
            base = f"/apis/{companion.API_VERSION}/namespaces/ns/{companion.PLURAL}/vm"
            self.api.delete(base)


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
