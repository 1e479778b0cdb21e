"""Plays the story, act by act. Each act announces an action, performs it, and shows the effect on the VMI document."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from demo.document import DocumentWatch, Value, described
from demo.narrator import Narrator
from demo.stage import AGENT, HANDLER, Stage
from testbed.kubevirt_proxy import VncProxy
from testbed.pool import ViewerPool
from testbed.waiting import wait_until

# Seconds between two acts, so that a reader can follow or paste a command. It exceeds the 1 s between two writes of a
# VMI, so that no act waits for the write policy.
PAUSE = 1.2
# Seconds. KubeVirt's proxy connects for a new viewer and drops the old one; the new handshake may follow later.
LATE_HANDSHAKE = 2.0
# Seconds without a handler, long enough to show that the value stays.
ABSENCE = 2.0
# The fields of a service that are shown.
SESSIONS = ["service", "sessions", "pending"]


def tell(stage: Stage, narrator: Narrator) -> None:
    """Play all acts: from no viewer to no viewer."""
    with DocumentWatch(stage.document, stage.check_programs) as document, ViewerPool() as viewers:
        address = stage.machine.address
        with VncProxy(address) as console:
            _Story(stage, narrator, document, viewers, console).tell()


class _Story:
    def __init__(
        self, stage: Stage, narrator: Narrator, document: DocumentWatch, viewers: ViewerPool, console: VncProxy
    ) -> None:
        self._stage = stage
        self._narrator = narrator
        self._document = document
        self._viewers = viewers
        self._console = console

    def tell(self) -> None:
        """Play all acts."""
        self._introduce()
        self._come_and_go()
        self._take_over()
        self._scan()
        self._kill_the_handler()
        self._destroy()

    # --- the acts ---

    def _introduce(self) -> None:
        self._narrator.say("ready: no viewer is connected")
        self._show(None)
        self._narrator.details("To look for yourself, paste into another terminal (below, answers are trimmed):")
        self._narrator.details("\n".join(f"  {line}" for line in self._stage.example_commands()))
        self._narrator.gap()
        time.sleep(PAUSE)

    def _come_and_go(self) -> None:
        with self._follows(1, "Alice opens the console, by a connection such as KubeVirt's VNC proxy makes"):
            self._console.open()
        with self._follows(2, "Bob joins on the node, past the API: what counts is what QEMU sees"):
            bob = self._viewers.establish(self._stage.machine.address)
        self._show_document()
        agent = self._ask(AGENT, observation=["observed", "reason"], services=SESSIONS)
        assert agent["services"][0]["sessions"] == 2
        with self._follows(1, "Bob leaves; a fall waits a second, since a viewer that was cut is often back at once"):
            bob.close()

    def _take_over(self) -> None:
        with self._stays(1, "Carol takes the console over: she has only connected, and Alice is thrown out"):
            carol = self._console.dial()
            time.sleep(LATE_HANDSHAKE)
            carol.handshake()
            self._narrator.say("two seconds later Carol's handshake is done")
            time.sleep(PAUSE)

    def _scan(self) -> None:
        with self._stays(1, "a port scanner connects and sends nothing: it watches nothing, so it does not count"):
            self._viewers.connect(self._stage.machine.address)
            time.sleep(PAUSE)
        agent = self._ask(AGENT, services=SESSIONS)
        assert agent["services"][0]["sessions"] == 1
        assert agent["services"][0]["pending"] == 1

    def _kill_the_handler(self) -> None:
        with self._stays(1, "the handler is killed (SIGKILL): what is published stays"):
            self._stage.handler.kill()
            time.sleep(ABSENCE)
            self._narrator.say("the handler is started again; it knows nothing, and waits for the agent's report")
            self._stage.handler.start()
            with self._narrator.waiting("the handler starts and the agent dials again"):
                seconds = self._wait_for_report()
            self._narrator.say(f"the agent has reported again, {seconds:.1f} s later")
            time.sleep(PAUSE)
        handler = self._ask(
            HANDLER,
            services=[*SESSIONS, "observed"],
            endpoints=["state", "accepted", "published"],
            publications=["publisher", "state", "outcome"],
        )
        assert handler["services"][0]["sessions"] == 1
        assert handler["publications"][0]["state"] == "PUBLISH_STATE_PUBLISHED"

    def _destroy(self) -> None:
        with self._follows(None, "the VM is destroyed with Carol still connected: a VM that is gone has no viewer"):
            self._stage.machine.destroy()
        self._narrator.gap()

    # --- how an act is shown ---

    @contextlib.contextmanager
    def _follows(self, value: Value, what: str) -> Iterator[None]:
        """Check that the body changes the value to `value` in one step."""
        self._narrator.say(what)
        self._document.mark()
        yield
        since = time.monotonic()
        with self._narrator.waiting(f"waiting for {described(value)}"):
            seconds = self._document.wait_for(value, since)
        self._show(value, f"{seconds * 1000:.0f} ms later")
        time.sleep(PAUSE)

    @contextlib.contextmanager
    def _stays(self, value: Value, what: str) -> Iterator[None]:
        """Check that no sample during the body differs from `value`."""
        self._narrator.say(what)
        self._document.mark()
        yield
        self._stage.check_programs()
        self._document.assert_stayed(value)
        self._show(value, f"at each of {self._document.looks} looks meanwhile")

    def _show(self, value: Value, when: str = "") -> None:
        assert self._document.value == value, f"{described(value)} expected, {self._document.value} seen"
        self._narrator.details(f"-> {described(value)}" + (f"   ({when})" if when else ""))

    def _show_document(self) -> None:
        document = json.loads(self._stage.document.read_text())
        shown = _trimmed(document["status"]["serviceStatus"], ["vncSessions", "renewTime", "conditions"])
        of_vnc = [one for one in shown["conditions"] if one["type"] in ("Observed", "Idle")]
        shown["conditions"] = _trimmed(of_vnc, ["type", "status", "reason"])
        trimmed = json.dumps({"kind": document["kind"], "status": {"serviceStatus": shown}})
        self._narrator.details(f"$ {self._stage.show_document}\n  {trimmed}")

    def _ask(self, debug_api: tuple[str, str], **shown: list[str]) -> Any:
        """Call a debug API and return its status. Show the command and, for each field of `shown`, its inner fields."""
        answer = self._stage.ask(debug_api)
        status = answer.get("status") or answer["statuses"][0]
        self._narrator.details(f"$ {self._stage.command(debug_api)}")
        for field, inner in shown.items():
            self._narrator.details(f'  "{field}": {json.dumps(_trimmed(status[field], inner))}')
        time.sleep(PAUSE)
        return status

    def _wait_for_report(self) -> float:
        begin = time.monotonic()
        wait_until(
            lambda: self._stage.ask(HANDLER)["statuses"][0]["endpoints"][0]["state"],
            lambda state: state == "ENDPOINT_STATE_REPORTING",
            what="the agent reports",
            interval=0.1,
            retry_on=(AssertionError,),
        )
        return time.monotonic() - begin


def _trimmed(value: Any, fields: list[str]) -> Any:
    if isinstance(value, list):
        return [_trimmed(one, fields) for one in value]
    return {field: value[field] for field in fields if field in value}
