"""Writes docs/companion-go.md, the companion object as Go types, from its CRD. Another FILE may be named.

The types are what an API server accepts, so they are not written by hand; `make lint` writes the page again and
compares.
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).resolve().parents[1]
_CRD = _ROOT / "manifests/crd/companion.yaml"
_PAGE = _ROOT / "docs/companion-go.md"

_HEAD = """\
<!-- Written by hack/companion_go.py from manifests/crd/companion.yaml; `make gencode` writes it again. -->

# The companion object in Go

*Which types do I decode it into?* Copy this file beside your program. The programs for [UI authors](ui-author.md#go)
and for [tool authors](tool-author.md#in-go) use it. What each field means: [the reference](companion-api.md).

<!-- file: companion.go -->
```go
"""
_TAIL = """\
```
"""
_FILE = """\
package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var companions = schema.GroupVersionResource{{
	Group: "{group}", Version: "{version}", Resource: "{plural}",
}}

{types}
"""

#: What is written in one form in all of Kubernetes has its type there.
_STANDARD = {"conditions": "[]metav1.Condition"}
_INITIALISM = re.compile(r"^(Vmi|Vnc|Usb)")
_SCALARS = {
    ("integer", "int32"): "int32",
    ("integer", "int64"): "int64",
    ("string", "date-time"): "*metav1.Time",
    ("string", None): "string",
    ("boolean", None): "bool",
}


def page(crd: dict[str, Any]) -> str:
    """The whole page."""
    spec = crd["spec"]
    (version,) = spec["versions"]
    kind, schema = spec["names"]["kind"], version["schema"]["openAPIV3Schema"]
    types = "\n\n".join(_types(kind, schema))
    text = _FILE.format(group=spec["group"], version=version["name"], plural=spec["names"]["plural"], types=types)
    return _HEAD + text + _TAIL


def _types(kind: str, schema: dict[str, Any]) -> Iterator[str]:
    """The struct of the kind, then those of its parts."""
    parts = {name: field for name, field in schema["properties"].items() if name in ("spec", "status")}
    lines = ['\tmetav1.TypeMeta   `json:",inline"`', '\tmetav1.ObjectMeta `json:"metadata"`']
    for name in parts:
        lines += ["", f"\t{_exported(name)} {kind}{_exported(name)} {_tag(name, required=True)}"]
    yield _struct(kind, schema["description"], lines)
    for name, part in parts.items():
        yield _struct(kind + _exported(name), part["description"], list(_fields(part)))


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    """The fields with their descriptions, apart from each other, so that gofmt aligns none of them."""
    required = schema.get("required", [])
    for number, (name, field) in enumerate(schema["properties"].items()):
        if number:
            yield ""
        yield from _comment(field["description"], "\t")
        yield f"\t{_exported(name)} {_type(name, field)} {_tag(name, required=name in required)}"


def _type(name: str, field: dict[str, Any]) -> str:
    return _STANDARD.get(name) or _SCALARS[field["type"], field.get("format")]


def _struct(name: str, description: str, lines: list[str]) -> str:
    return "\n".join([*_comment(description), f"type {name} struct {{", *lines, "}"])


def _comment(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, 110, initial_indent=f"{indent}// ", subsequent_indent=f"{indent}// ")


def _exported(name: str) -> str:
    return _INITIALISM.sub(lambda found: found[0].upper(), name[0].upper() + name[1:])


def _tag(name: str, *, required: bool) -> str:
    return f'`json:"{name}{"" if required else ",omitempty"}"`'


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else _PAGE).write_text(page(yaml.safe_load(_CRD.read_text())))
