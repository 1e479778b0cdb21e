"""A headless Chromium, driven over its DevTools protocol through two pipes: no port, no driver, no package."""

import base64
import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from testbed.processes import ManagedProcess

#: Debian's packages of these names have a program of that name; a full Chromium serves as well.
PROGRAMS: Final = ("chromium-headless-shell", "chromium")
_FLAGS: Final = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # a sandbox needs namespaces, which a container may forbid; the pages are our own
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
)


class PageError(Exception):
    """The browser refused a command, or a script of the page failed."""


class Browser:
    """One browser with one page."""

    def __init__(self) -> None:
        """Not started."""
        self._stack = ExitStack()
        self._last = 0
        self._pending = b""
        self._session = ""

    def __enter__(self) -> Self:
        program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
        assert program is not None, f"none of {', '.join(PROGRAMS)} is installed; hack/setup.sh installs the first"
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp")))
        commands, answers = folder / "commands", folder / "answers"
        os.mkfifo(commands)
        os.mkfifo(answers)
        # Chromium reads commands from descriptor 3 and answers on 4.
        start = ("bash", "-c", 'exec "${@:3}" 3< "$1" 4> "$2"', "browser", commands, answers)
        flags = (*_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank")
        self._process = self._stack.enter_context(ManagedProcess([*start, program, *flags], log=folder / "log"))
        self._commands = self._stack.enter_context(commands.open("wb", buffering=0))
        self._answers = self._stack.enter_context(answers.open("rb", buffering=0))
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Page.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            # An orderly end, since its other processes write into the profile until it comes.
            self._session = ""
            self._ask("Browser.close")
            self._process.wait()

    def resize(self, width: int, height: int = 900) -> None:
        """A window of this size; below 600 it is a phone's."""
        phone = width < 600
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def prefer(self, scheme: str) -> None:
        """What the reader's system prefers: "light" or "dark"."""
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, file: Path) -> None:
        """Returns when the file has been loaded, with all that it names."""
        self._ask("Page.navigate", url=file.as_uri())
        self._event("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is awaited."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise PageError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screenshot(self, file: Path) -> None:
        """Of what the window shows, as PNG."""
        file.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        command = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        self._commands.write(json.dumps(command).encode() + b"\0")
        while (message := self._read()).get("id") != self._last:
            pass
        if "error" in message:
            raise PageError(f"{method}: {message['error']}")
        return dict(message["result"])

    def _event(self, method: str) -> None:
        while self._read().get("method") != method:
            pass

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            more = self._answers.read(1 << 16)
            if not more:
                raise PageError("the browser has ended")
            self._pending += more
        message, _, self._pending = self._pending.partition(b"\0")
        return dict(json.loads(message))
