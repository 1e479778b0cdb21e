"""Checks that the import rules of pyproject.toml name every module."""

import tomllib
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).parents[2]


def test_every_module_that_could_be_pure_is_listed_as_pure() -> None:
    """Otherwise the next line that is added to it may open a socket unnoticed."""
    rules: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (pure,) = (rule for rule in rules["contracts"] if rule["name"].startswith("The pure core"))
    graph = grimp.build_graph(*rules["root_packages"], include_external_packages=True)
    forbidden = set(pure["forbidden_modules"]) & graph.modules
    modules = {name for root in rules["root_packages"] for name in graph.find_descendants(root)}
    written = {name for name in modules if ".v1" not in name and not graph.find_children(name)}
    could_be = {name for name in written if not any(graph.chain_exists(name, other) for other in forbidden)}
    held = {name for name in written if any(_within(name, source) for source in pure["source_modules"])}
    assert could_be - held == set()
    assert held - could_be == set()


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")
