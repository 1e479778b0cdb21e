"""Chooses which connections of a crowded port stay. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

Name = TypeVar("Name")


def newest_of_each(hosts: Mapping[Name, str], room: int) -> set[Name]:
    """Return the names of `room` connections, by name and host in the order in which they were accepted.

    They are those that remain if the oldest one of the host that has the most is removed again and again.
    """
    newer: Counter[str] = Counter()
    ranked: list[tuple[int, int, Name]] = []
    for age, (name, host) in enumerate(reversed([*hosts.items()])):
        ranked.append((newer[host], age, name))
        newer[host] += 1
    ranked.sort(key=lambda one: one[:2])
    return {name for _, _, name in ranked[:room]}
