"""Which of libvirt's domains is the VM to watch."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain that libvirt has. `run` is the id of the running domain, fresh at each start; None: not running."""

    name: str
    run: int | None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """No name was given and there are several."""

    names: tuple[str, ...]


def choose(domains: Sequence[Domain], wanted: str | None) -> Domain | Ambiguous | None:
    """The domain named `wanted`, or the only one, running or not; None if there is none.

    Domains that do not run count too: otherwise the agent would take one VM for another when the first one stops.
    """
    candidates = [domain for domain in domains if wanted in (None, domain.name)]
    if len(candidates) > 1:
        return Ambiguous(tuple(sorted(domain.name for domain in candidates)))
    return candidates[0] if candidates else None
