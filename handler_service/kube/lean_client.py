"""Imports from the official Kubernetes client only the modules that the programs use.

`kubernetes/__init__` imports every API and all 700 models: 17 MiB and 150 ms of CPU in each program, which uses none of
them. The client offers no other way (https://github.com/kubernetes-client/python/issues/771). When it does, this module
becomes plain imports.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, Final

#: The packages whose `__init__` is not run.
_BARE: Final = ("kubernetes", "kubernetes.aio", "kubernetes.aio.client", "kubernetes.aio.utils")


@contextmanager
def _bare_packages() -> Iterator[None]:
    """Put empty packages in place of `_BARE`, in which the import system finds the same modules.

    Afterwards they are gone, so that any other import of `kubernetes` in this process gets the real packages.
    """
    if "kubernetes" in sys.modules:  # imported by another part of the process: nothing is left to save
        yield
        return
    packages = [_bare(name) for name in _BARE]
    sys.modules.update({package.__name__: package for package in packages})
    try:
        _add_names(sys.modules["kubernetes.aio.client"])
        yield
    finally:
        for name in _BARE:
            del sys.modules[name]


def _bare(name: str) -> ModuleType:
    """Return an empty package with the path of the package `name`; raises ModuleNotFoundError."""
    path: Sequence[str] | None = None
    parent = ""
    for part in name.split("."):
        parent = f"{parent}.{part}".lstrip(".")
        spec = PathFinder.find_spec(parent, path)
        path = None if spec is None else spec.submodule_search_locations
        if path is None:
            raise ModuleNotFoundError(f"No module named {parent!r}", name=parent)
    package = ModuleType(name)
    package.__path__ = list(path or ())
    return package


def _add_names(client: Any) -> None:
    """Add the two names that the loader of kubeconfigs imports from its package."""
    from kubernetes.aio.client.configuration import Configuration as Class  # noqa: PLC0415 - found once bare

    client.Configuration = Class
    client.ApiClient = None  # only for functions that return a client with all models


with _bare_packages():
    from kubernetes.aio.client.configuration import Configuration
    from kubernetes.aio.client.rest import RESTClientObject
    from kubernetes.aio.config.config_exception import ConfigException
    from kubernetes.aio.config.kube_config import load_kube_config_from_dict

__all__ = ["ConfigException", "Configuration", "RESTClientObject", "load_kube_config_from_dict"]
