"""Chooses the VM's domain among those that libvirt has. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain that libvirt has. `run` is the id of the running domain, new at each start; None: not running."""

    name: str
    run: int | None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """No name was configured and there are several domains."""

    names: tuple[str, ...]


def choose(domains: Sequence[Domain]) -> Domain | Ambiguous | None:
    """Return the only domain, running or not; None if there is none.

    Domains that do not run count too: otherwise the agent would take one VM for another when the first one stops.
    """
    if len(domains) > 1:
        return Ambiguous(tuple(sorted(domain.name for domain in domains)))
    return domains[0] if domains else None
