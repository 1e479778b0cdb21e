"""A trap of Python 3.11: what is raised within `except*` comes out bare from 3.11.4 on, and in a group before that."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAMS = ("launcher_agent", "handler_service", "servicestatus")


def test_nothing_is_raised_within_except_star() -> None:
    """With Debian 12's Python 3.11.2 an agent that lost libvirt ended: the error came in a group and was not caught."""
    found = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for program in PROGRAMS
        for path in (ROOT / program).rglob("*.py")
        for attempt in ast.walk(ast.parse(path.read_text()))
        if isinstance(attempt, ast.TryStar)
        for handler in attempt.handlers
        for statement in ast.walk(handler)
        if isinstance(statement, ast.Raise)
    ]
    assert found == []
