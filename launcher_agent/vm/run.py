"""One run of the domain, as one object: what is known of it lives and ends with it. Pure."""

from dataclasses import dataclass

from launcher_agent.vm.domain_xml import Graphics


@dataclass(slots=True)
class Run:
    """A run of the domain, from the end of the run before it on: clients may connect before libvirt reports the start.

    `complete`: every event since a moment without any client was seen, so that the table has every client.
    """

    complete: bool = False
    #: libvirt's id of the running domain; None until the start was reported.
    number: int | None = None
    #: None until the description was read.
    graphics: Graphics | None = None
