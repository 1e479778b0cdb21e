"""A QEMU with USB slots and a serial console, as its monitor answers, and the description of its domain."""

import json

from launcher_agent.errors import QueryError

SLOT = (
    "<redirdev bus='usb' type='unix'><source mode='bind' path='/run/virt-usbredir-{0}'/>"
    "<alias name='redir{0}'/></redirdev>"
)
CONSOLE = (
    "<serial type='unix'><source mode='bind' path='/run/virt-serial0'/><alias name='serial0'/></serial>"
    "<console type='unix'><source mode='bind' path='/run/virt-serial0'/><alias name='serial0'/></console>"
)


def domain(*devices: str) -> str:
    return f"<domain><devices>{''.join(devices)}</devices></domain>"


#: As KubeVirt's with clientPassthrough.
KUBEVIRT = domain(*(SLOT.format(number) for number in range(4)), CONSOLE)


class Ports:
    """`connected` and `attached` are aliases; what is attached is connected too."""

    def __init__(self) -> None:
        self.connected: set[str] = set()
        self.attached: set[str] = set()
        self.problem: Exception | None = None
        self.labels = ["redir0", "redir1", "redir2", "redir3", "serial0"]

    def __call__(self, command: str) -> str:
        if self.problem is not None:
            raise self.problem
        request = json.loads(command)
        if request["execute"] == "query-chardev":
            return json.dumps({"return": [self._listed(alias) for alias in self.labels]})
        if request["execute"] == "qom-get":
            alias = request["arguments"]["path"].removeprefix("/machine/peripheral/")
            return json.dumps({"return": alias in self.attached})
        raise QueryError("QEMU has no such command")

    def _listed(self, alias: str) -> dict[str, object]:
        state = "" if alias in self.connected | self.attached else "disconnected:"
        return {"label": f"char{alias}", "filename": f"{state}unix:/run/{alias},server=on", "frontend-open": True}
