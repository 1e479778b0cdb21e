"""Checks the names of Kubernetes objects, as the API server does."""

import re
from typing import Final

from servicestatus import contract

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMESPACE: Final = re.compile(_LABEL)
_OBJECT: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def is_namespace(text: str) -> bool:
    """Return whether a namespace may have this name (a DNS label)."""
    return len(text) <= contract.MAX_NAMESPACE_BYTES and _NAMESPACE.fullmatch(text) is not None


def is_object_name(text: str) -> bool:
    """Return whether a VMI or a node may have this name (a DNS subdomain)."""
    return len(text) <= contract.MAX_OBJECT_NAME_BYTES and _OBJECT.fullmatch(text) is not None
