"""Writes docs/companion-api.md, the reference of the companion object, from its CRD. Another FILE may be named.

The CRD is what an API server holds people to, and the handler has the words of its conditions, so nothing of either is
written twice; `make lint` writes the page again and compares.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from handler_service.kube import companion, conditions, service_conditions
from handler_service.model import DesiredStatus, Reason
from handler_service.services import OTHERS
from servicestatus.services import POLLED

_ROOT = Path(__file__).resolve().parents[1]
_CRD = _ROOT / "manifests/crd/companion.yaml"
_PAGE = _ROOT / "docs/companion-api.md"

#: Reasons of services other than VNC.
_OF_OTHERS = (Reason.NOT_WATCHED,)

_HEAD = """\
<!-- Written by hack/companion_reference.py from manifests/crd/companion.yaml; `make gencode` writes it again. -->

# The companion object

*What does a `{kind}` contain?* {description}

| | |
|---|---|
| API | `{group}/{version}`, kind `{kind}` |
| for kubectl | `{plural}`, `{singular}`, `{short}`; a part of `kubectl get all` |
| path | `/apis/{group}/{version}/namespaces/NAMESPACE/{plural}/NAME` |
| scope | {scope}: it has the namespace and the name of its VMI |
| status | a subresource: the right to write the object does not include the right to write its status |
| selectors | fields (Kubernetes 1.31) {selectable}; the label `{label}` names the node whose handler writes it |
| OpenAPI | `kubectl explain {short}.status --recursive`; `kubectl get --raw /openapi/v3/apis/{group}/{version}` |

`--field-selector 'status.vncSessions!='` selects the objects with a number above zero, since an absent field is the
empty string. How to read, wait and watch: [for UI authors](ui-author.md), [for tool authors](tool-author.md).

**Freshness.** The object has no time of its last confirmation, since that would be a write for each VM and interval.
Its handler renews one Lease for its node instead. When that Lease expires, the controller sets `Observed` to `False`
with the reason `{away}`, within 40 s ([why](decisions/0014-an-expired-lease-marks-a-value-and-nothing-leads.md)).
Without a running controller, compare `renewTime` of the node's Lease in the project's namespace.
"""

_OTHERS = """\
`Observed`, `Idle` and `since` are about VNC. Each other service has a number of its own, which is absent at zero, and a
condition of its own. **An absent number means zero only where that condition is `True`.** It is `Unknown` with the
reason `NotWatched` where nothing watches the service, which is so by default for what is polled. A condition that is
absent means the same: the handler adds it with its next write. The table of reasons has those of these conditions whose
message differs from that of `Observed`; all reasons of `Observed` may occur, `HandlerAway` included."""


def page(crd: dict[str, Any]) -> str:
    """The whole page."""
    spec = crd["spec"]
    (version,) = spec["versions"]
    names, schema = spec["names"], version["schema"]["openAPIV3Schema"]
    head = _HEAD.format(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names["singular"],
        short=names["shortNames"][0],
        scope=spec["scope"],
        description=schema["description"],
        selectable=", ".join(f"`{one['jsonPath'].removeprefix('.')}`" for one in version["selectableFields"]),
        label=companion.NODE_LABEL,
        away=companion.HANDLER_AWAY,
    )
    parts = ["## Fields", _table(["field", "type", "meaning"], _fields(schema, ""))]
    parts += ["## What the API server refuses", _table(["where", "why"], _rules(schema, ""))]
    parts += ["## Reasons of the condition Observed", _table(["reason", "message"], _reasons())]
    parts += ["## The other services", _OTHERS, _table(["service", "field", "condition", "observed by"], _others())]
    parts += [_table(["reason", "message"], _other_reasons())]
    parts += ["## Reasons of the condition Idle", _table(["status", "reason", "message"], _idle_reasons())]
    parts += ["## What kubectl prints", _table(["column", "holds", "meaning"], map(_column, _columns(version)))]
    return "\n".join([head, *(f"{part}\n" for part in parts)])


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


# --- fields -----------------------------------------------------------------------------------------------------------


def _fields(schema: dict[str, Any], path: str) -> Iterator[list[str]]:
    """A row for each field, depth first; those that all Kubernetes objects have are left out."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        here = f"{path}{name}"
        yield [f"`{here}`", _type(field, required=name in required), field["description"]]
        yield from _fields(field, f"{here}.")
        if "items" in field:
            yield from _fields(field["items"], f"{here}[].")


def _type(field: dict[str, Any], *, required: bool) -> str:
    """The type with its bounds, as one says it."""
    words = [field.get("format") or field["type"]]
    if field["type"] == "array":
        words = [f"list of {field['items']['type']}s, one for each {', '.join(field['x-kubernetes-list-map-keys'])}"]
    if "enum" in field:
        words.append("one of " + ", ".join(f"`{value}`" for value in field["enum"]))
    if "minimum" in field:
        words.append(
            f"{field['minimum']} to {field['maximum']}" if "maximum" in field else f"{field['minimum']} or more"
        )
    if field["type"] == "string" and "maxLength" in field:
        words.append(f"at most {field['maxLength']} characters")
    return ", ".join([*words, "always there" if required else "may be absent"])


# --- rules and columns ------------------------------------------------------------------------------------------------


def _rules(schema: dict[str, Any], path: str) -> Iterator[list[str]]:
    for rule in schema.get("x-kubernetes-validations", []):
        yield [f"`{path or '(the whole)'}`", rule["message"]]
    for name, field in schema.get("properties", {}).items():
        yield from _rules(field, f"{path}.{name}" if path else name)


def _reasons() -> Iterator[list[str]]:
    """Those of the handler, and the one of the controller."""
    yield from map(_reason, (reason for reason in Reason if reason not in _OF_OTHERS))
    yield [f"`{companion.HANDLER_AWAY}`", companion.HANDLER_AWAY_MESSAGE]


def _others() -> Iterator[list[str]]:
    for one in OTHERS:
        how = f"polls: `--poll {one.name}=5s` at the handler" if one.number in POLLED else "events, always"
        yield [f"`{one.name}`", f"`status.{one.field}`", f"`{one.condition}`", how]


def _other_reasons() -> Iterator[list[str]]:
    for reason in Reason:
        if service_conditions.explanation(reason) != conditions.explanation(reason.value):
            yield [f"`{reason.value}`", service_conditions.explanation(reason)]


def _idle_reasons() -> Iterator[list[str]]:
    for sessions, observed in ((0, True), (2, True), (2, False)):
        shown = conditions.Detail(observed, "", "...", None, "")
        _, idle = conditions.conditions(sessions, shown, (), 0.0)
        yield [f"`{idle['status']}`", f"`{idle['reason']}`", idle["message"]]


def _reason(reason: Reason) -> list[str]:
    """As the handler writes it into the object; words of the agent may follow in brackets."""
    desired = DesiredStatus(0, False, reason, "", None, True, ())
    return [f"`{reason.value}`", conditions.detail(desired, "a node").message]


def _columns(version: dict[str, Any]) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = version["additionalPrinterColumns"]
    return columns


def _column(column: dict[str, Any]) -> list[str]:
    wide = " (with `-o wide`)" if column.get("priority") else ""
    return [f"`{column['name'].upper()}`{wide}", f"`{column['jsonPath']}`", column.get("description", "Its age.")]


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else _PAGE).write_text(page(yaml.safe_load(_CRD.read_text())))
