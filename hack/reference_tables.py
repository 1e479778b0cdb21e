"""Writes the tables of numbers in docs/ from the code, so that a number and its reason are maintained in one place.

A page has a pair of comments for each table, and the lines between them are replaced. The values are those of the
imported modules. The reasons are the comments (`#:`) in front of the fields and constants. `make gencode` writes the
tables; with `--check`, as in `make lint`, the pages stay as they are and each difference is printed.
"""

import ast
import difflib
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from launcher_agent import backoff
from servicestatus import contract
from servicestatus.backoff import Policy

_ROOT: Final = Path(__file__).resolve().parents[1]
_DOCS: Final = _ROOT / "docs"
_MARKED: Final = re.compile(r"(<!-- begin table (?P<name>[a-z-]+), [^\n]*-->\n).*?(<!-- end table -->)", re.DOTALL)
_COMMENT: Final = re.compile(r"^\s*#: ?")


@dataclass(frozen=True, slots=True)
class Documented:
    """Fields or constants that follow one comment, which is the reason of all their values."""

    names: tuple[str, ...]
    reason: str


@cache
def documented(module: str, owner: str = "") -> tuple[Documented, ...]:
    """Return what a module, or a class in it, assigns directly after a `#:` comment, in the order of the file."""
    source = (_ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
    lines = source.splitlines()
    scope: ast.Module | ast.ClassDef = ast.parse(source)
    if owner:
        (scope,) = (node for node in scope.body if isinstance(node, ast.ClassDef) and node.name == owner)
    groups: list[Documented] = []
    end = -1
    for node in scope.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        reason = _comment_above(lines, node.lineno - 1)
        if reason:
            groups.append(Documented((node.target.id,), reason))
        elif groups and end == node.lineno - 1:
            last = groups.pop()
            groups.append(Documented((*last.names, node.target.id), last.reason))
        end = node.end_lineno or node.lineno
    return tuple(groups)


def _comment_above(lines: list[str], line: int) -> str:
    """Return the text of the `#:` comment that ends in front of a line; empty if there is none."""
    first = line
    while first and _COMMENT.match(lines[first - 1]):
        first -= 1
    return " ".join(_COMMENT.sub("", text) for text in lines[first:line])


# --- values -----------------------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Return seconds as a person writes them."""
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g} min"
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def size(number: int) -> str:
    """Return bytes as a person writes them."""
    return f"{number // 1024} KiB" if number % 1024 == 0 else f"{number:,} bytes"


def _plain(value: Any) -> str:
    """Return a field's value: a float is a number of seconds, an integer a count, a policy a range of waits."""
    if isinstance(value, Policy):
        return _wait(value)
    return duration(value) if isinstance(value, float) else f"{value:,}"


# --- tables -----------------------------------------------------------------------------------------------------------

_RANGES: Final[Mapping[str, tuple[Any, Any]]] = {
    "heartbeat_interval": contract.HEARTBEAT_RANGE,
    "lease": contract.LEASE_RANGE,
    "window": contract.WINDOW_RANGE,
    "delta_burst": contract.WINDOW_RANGE,
    "delta_interval": contract.DELTA_INTERVAL_RANGE,
}


def stream_settings() -> Iterator[list[str]]:
    """Yield what Welcome dictates."""
    yield ["setting", "default", "range", "reason"]
    for group in documented("servicestatus.contract", "StreamSettings"):
        for name in group.names:
            low, high = _RANGES[name]
            bounds = f"{_plain(low)} to {_plain(high)}"
            yield [f"`{name}`", _plain(getattr(contract.DEFAULT_SETTINGS, name)), bounds, group.reason]


def bounds() -> Iterator[list[str]]:
    """Yield what a peer may send, and what a socket may cost."""
    yield ["constant", "value", "reason"]
    yield from _constants("servicestatus.contract", "MAX_", "HELLO_")
    yield from _constants("handler_service.reports.protocol", "MESSAGE_")
    yield from _constants("handler_service.endpoints.http2_limits")
    yield from _constants("handler_service.endpoints.allowance")
    yield from _constants("handler_service.endpoints.http2_proxy")


def retry_policy() -> Iterator[list[str]]:
    """Yield how long the agent waits before it dials again."""
    yield ["the stream ended with", "the agent waits", "reason"]
    statuses: dict[Policy, list[str]] = {}
    for status, policy in backoff.POLICIES.items():
        statuses.setdefault(policy, []).append(f"`{status}`")
    statuses[backoff.policy("")].append("any other")
    for policy, names in statuses.items():
        yield [", ".join(names), _wait(policy), policy.why]


def _wait(policy: Policy) -> str:
    """Return the wait of a policy in words."""
    if policy.first == policy.cap:
        return f"{duration(policy.floor)} to {duration(policy.cap)}"
    floor = f"{duration(policy.floor)} up to" if policy.floor else "up to"
    return f"{floor} {duration(policy.first)}, doubling to {duration(policy.cap)}"


def keepalive() -> Iterator[list[str]]:
    """Yield the options of gRPC at both ends."""
    yield ["option of gRPC", "agent", "handler"]
    agent, handler = dict(contract.CHANNEL_OPTIONS), dict(contract.SERVER_OPTIONS)
    for name in dict.fromkeys((*agent, *handler)):
        yield [f"`{name}`", *(f"{options[name]:,}" if name in options else "-" for options in (agent, handler))]


def write_policy() -> Iterator[list[str]]:
    """Yield when a publisher writes."""
    yield ["rule", "value", "reason"]
    default = importlib.import_module("handler_service.publishing.policy").WritePolicy()
    for group in documented("handler_service.publishing.policy", "WritePolicy"):
        yield _row(group, default)
    yield from _constants("handler_service.publishing.policy")
    yield from _constants("handler_service.publishing.worker")


def write_rounds() -> Iterator[list[str]]:
    """Yield how long a write waits for its turn."""
    yield ["VMIs of the node", "a round: the longest wait for a token", "a fall is written after at most"]
    default = importlib.import_module("handler_service.publishing.policy").WritePolicy()
    interval = importlib.import_module("handler_service.publishing.worker").NODE_INTERVAL
    for number in (20, 80, 110, 250):
        round_ = number * interval
        yield [f"{number}", duration(round_), duration(round_ + default.fall + default.interval)]


def follow_policy() -> Iterator[list[str]]:
    """Yield how the handler follows the API server."""
    yield ["constant", "value", "reason"]
    yield from _constants("handler_service.kube.reflector", "BACKOFF", "_")


def _constants(module: str, *prefixes: str) -> Iterator[list[str]]:
    """Yield the documented numbers of a module whose names begin with one of the prefixes, or all public ones."""
    values = importlib.import_module(module)
    for group in documented(module):
        numbers = tuple(name for name in group.names if isinstance(getattr(values, name), int | float | Policy))
        if numbers and (numbers[0].startswith(prefixes) if prefixes else not numbers[0].startswith("_")):
            yield _row(Documented(numbers, group.reason), values)


def _row(group: Documented, values: Any) -> list[str]:
    shown = [getattr(values, name) for name in group.names]
    words = [
        size(value) if _is_bytes(group, name) else _plain(value) for name, value in zip(group.names, shown, strict=True)
    ]
    return [", ".join(f"`{name.lstrip('_')}`" for name in group.names), ", ".join(words), group.reason]


def _is_bytes(group: Documented, name: str) -> bool:
    return name.endswith("BYTES") or group.reason.startswith("Bytes")


TABLES: Final[Mapping[str, Callable[[], Iterator[list[str]]]]] = {
    "stream-settings": stream_settings,
    "bounds": bounds,
    "retry-policy": retry_policy,
    "keepalive": keepalive,
    "write-policy": write_policy,
    "write-rounds": write_rounds,
    "follow-policy": follow_policy,
}


def with_tables(text: str) -> str:
    """Return a page with its tables as the code has them."""
    return _MARKED.sub(lambda match: f"{match[1]}\n{_table(TABLES[match['name']]())}\n\n{match[3]}", text)


def _table(rows: Iterator[list[str]]) -> str:
    head, *body = rows
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in (head, ["---"] * len(head), *body))
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def main(arguments: list[str]) -> int:
    """Write the tables, or compare them; return the exit status."""
    differences = 0
    for page in sorted(_DOCS.rglob("*.md")):
        old = page.read_text()
        new = with_tables(old)
        if new == old:
            continue
        differences += 1
        if "--check" in arguments:
            name = page.relative_to(_ROOT).as_posix()
            sys.stdout.writelines(
                difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, "from the code")
            )
        else:
            page.write_text(new)
    if differences and "--check" in arguments:
        sys.stdout.write("run: make gencode\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
