"""Plants bugs in a copy of the programs, by editing their syntax trees.

An edit names a module and, inside it, a class, function or assignment by its qualified name. Its old code is compared
with that object's tree as syntax: layout, comments, quotes and everything outside the object may change without
breaking the edit. An edit that does not match exactly once is an error, so that a planted bug cannot silently stop
being one.
"""

import ast
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from tests.simulation.campaign import ROOT

_COPIED: Final = ("launcher_agent", "handler_service", "controller", "servicestatus", "tests/simulation")

_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces `old` by `new` in one object of a module.

    Both are Python source: one expression each, or any number of statements. `old` must be in the object once; an empty
    `new` deletes the statements of `old`.
    """

    module: str
    #: Of a class, a function, a method or an assigned name, as in `ReportStore.goodbye`.
    name: str
    old: str
    new: str

    @property
    def path(self) -> Path:
        """The module's file, relative to the root."""
        return Path(*self.module.split(".")).with_suffix(".py")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: the edits that plant it."""

    name: str
    edits: tuple[Edit, ...]
    #: So few histories find it that every run of the tests can look for it.
    quick: bool = False


class StaleMutantError(Exception):
    """The module, the object or the code that a mutant edits does not exist, or exists more than once."""


@contextmanager
def planted(mutant: Mutant) -> Iterator[Path]:
    """Yield a copy of the programs that contains the bug."""
    with tempfile.TemporaryDirectory(prefix="vss-mutant-") as folder:
        root = Path(folder)
        for name in _COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "tests/__init__.py", root / "tests/__init__.py")
        for edit in mutant.edits:
            path = root / edit.path
            if not path.exists():
                raise StaleMutantError(f"{mutant.name}: there is no module {edit.module}")
            try:
                path.write_text(edited(path.read_text(), edit))
            except StaleMutantError as error:
                raise StaleMutantError(f"{mutant.name}: {error}") from error
        yield root


def edited(source: str, edit: Edit) -> str:
    """Return the module's source after the edit, without its comments."""
    tree = ast.parse(source)
    target = _object(tree, edit)
    old, new = ast.parse(edit.old).body, ast.parse(edit.new).body
    times = 0
    if _is_expression(old) and _is_expression(new):
        replacement = _Replacement(cast("ast.Expr", old[0]).value, cast("ast.Expr", new[0]).value)
        replacement.visit(target)
        times = replacement.times
    else:
        for body in _bodies(target):
            for start in _starts(body, old):
                body[start : start + len(old)] = new or [ast.Pass()]
                times += 1
    if times != 1:
        raise StaleMutantError(f"{edit.module}: {edit.name} has {times} times: {edit.old}")
    return ast.unparse(ast.fix_missing_locations(tree))


def _object(tree: ast.Module, edit: Edit) -> ast.AST:
    """Return the tree of the object that the edit names."""
    found: ast.AST = tree
    for part in edit.name.split("."):
        candidates = [
            child
            for child in cast("list[ast.stmt]", getattr(found, "body", []))
            if (isinstance(child, _SCOPES) and child.name == part) or part in _assigned(child)
        ]
        if len(candidates) != 1:
            raise StaleMutantError(f"{edit.module} has {len(candidates)} times: {edit.name}")
        [found] = candidates
    return found


def _assigned(statement: ast.stmt) -> list[str]:
    """Return the names that a statement assigns."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_expression(body: list[ast.stmt]) -> bool:
    return len(body) == 1 and isinstance(body[0], ast.Expr)


class _Replacement(ast.NodeTransformer):
    """Replaces each expression that equals `old`, and counts them."""

    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self._old = ast.dump(old)
        self._new = new
        self.times = 0

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr) and ast.dump(node) == self._old:
            self.times += 1
            return self._new
        return self.generic_visit(node)


def _bodies(tree: ast.AST) -> list[list[ast.stmt]]:
    """Return every list of statements in a tree, that of an `else` or `finally` included."""
    lists = [value for node in ast.walk(tree) for _, value in ast.iter_fields(node) if isinstance(value, list)]
    return [value for value in lists if value and isinstance(value[0], ast.stmt)]


def _starts(body: Sequence[ast.stmt], old: Sequence[ast.stmt]) -> list[int]:
    """Return where in `body` the statements `old` stand one after the other, the last place first."""
    wanted = [ast.dump(statement) for statement in old]
    dumps = [ast.dump(statement) for statement in body]
    return [start for start in reversed(range(len(body))) if dumps[start : start + len(old)] == wanted]
