"""Examples in the docs as tests run them: the commands of a page, what they print there, and what has to be so before.

    <!-- file: watch.py -->            the code below it is a file, for the commands further down on that page
    <!-- sh: certificate -->           the code below it is a shell script, which a test runs by this name
    <!-- run: cluster, one viewer -->  the console below it is run in that world and scene; a test knows both by name

In a console a line that begins with `$ ` is a command, up to the next line that does not continue it; what follows is
its output. There `...` stands for anything: by itself for lines, within a line for words. What no two runs have in
common (ages, times, UIDs, temporary directories, counters) counts as equal, and so does the width of columns.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"

_MARK = re.compile(r"<!-- (file|run): (.+?) -->")
_WORLD = re.compile(r"(?P<world>[^,]+), (?P<scene>.+)")
#: In this order: a time holds what looks like durations.
_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(,\d+)?"), "TIME"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32}\b"), "UID"),
    (re.compile(r"/tmp/vss-\w+"), "/tmp/DIRECTORY"),
    (re.compile(r"\b(test|node)-[0-9a-f]{8}\b|\bshared-node\b|\bnode-1\b"), "NAME"),
    (re.compile(r"<invalid>|\b(\d+(\.\d+)?(ms|s|m|h|d|y))+\b"), "AGE"),
    (re.compile(r'"\d+"'), '"COUNT"'),
    (re.compile(r"\bpid \d+"), "pid PID"),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True)
class Example:
    """One command of a page."""

    page: str
    line: int
    world: str
    scene: str
    command: str
    output: str
    files: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def printed_by(self, output: str) -> bool:
        """Whether that is what the page says."""
        return re.fullmatch(_pattern(self.output), _comparable(output)) is not None


def examples(world: str) -> list[Example]:
    """All commands of all pages that run in this world."""
    return [example for example in _all() if example.world == world]


def worlds() -> set[str]:
    """All worlds that pages ask for."""
    return {example.world for example in _all()}


def files() -> dict[str, str]:
    """All files of all pages, whose names are theirs alone."""
    return {name: text for page in _pages() for name, text in page.files.items()}


def script(page: str, name: str) -> str:
    """The shell script of this name on a page."""
    lines = (DOCS / page).read_text().splitlines()
    mark = f"<!-- sh: {name} -->"
    assert lines.count(mark) == 1, f"{page}: {mark} is there {lines.count(mark)} times"
    return "\n".join(_code(lines[lines.index(mark) + 1 :], f"{page}: {name}")) + "\n"


def _pages() -> list["Page"]:
    return [read_page(path, path.relative_to(DOCS).as_posix()) for path in sorted(DOCS.rglob("*.md"))]


def _all() -> Iterator[Example]:
    for page in _pages():
        yield from page.examples


@dataclass(frozen=True)
class Page:
    """What is marked on a page."""

    files: Mapping[str, str]
    examples: Sequence[Example]


def read_page(path: Path, name: str) -> Page:
    """From top to bottom; `name` is for messages."""
    lines = path.read_text().splitlines()
    files: dict[str, str] = {}
    found: list[Example] = []
    for number, line in enumerate(lines, 1):
        if mark := _MARK.fullmatch(line):
            code = _code(lines[number:], f"{name}:{number}")
            if mark[1] == "file":
                files[mark[2]] = "\n".join(code) + "\n"
                continue
            where = _WORLD.fullmatch(mark[2])
            assert where, f"{name}:{number}: {mark[2]!r} is not a world and a scene"
            found += [
                Example(name, number + offset, where["world"], where["scene"], command, output, dict(files))
                for offset, command, output in _commands(code)
            ]
    return Page(files, found)


def _code(lines: list[str], where: str) -> list[str]:
    """What stands in the fence that begins in the first line."""
    assert lines, f"{where}: the page ends"
    assert lines[0].startswith("```"), f"{where}: no code follows"
    return lines[1 : lines.index("```", 1)]


def _commands(console: list[str]) -> Iterator[tuple[int, str, str]]:
    """The line, the command and its output, for each command of a console."""
    starts = [number for number, line in enumerate(console) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(console)], strict=True):
        last = start
        while console[last].endswith("\\"):
            last += 1
        command = "\n".join(console[start : last + 1])
        yield start + 2, command.removeprefix("$ "), "\n".join(console[last + 1 : end])


# --- comparing --------------------------------------------------------------------------------------------------------


def _comparable(output: str) -> str:
    """One line after the other, without what changes; empty lines are dropped."""
    lines = (_without_changing(line).strip() for line in output.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def _without_changing(line: str) -> str:
    for pattern, name in _CHANGING:
        line = pattern.sub(name, line)
    return line


def _pattern(expected: str) -> str:
    """Of what is compared."""
    lines = _comparable(expected).splitlines()
    return "".join(r"(?:.*\n)*?" if line == "..." else _line_pattern(line) for line in lines)


def _line_pattern(line: str) -> str:
    return r".*".join(map(re.escape, line.split("..."))) + r"\n"
