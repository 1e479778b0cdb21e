"""Checks docstrings, comments, strings and documentation for words that hack/words.toml replaces by plain English.

Identifiers are not checked.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "hack/words.toml"

# The kinds of Python tokens that hold text; 3.12 and newer split an f-string into several tokens.
_TEXT = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
# In Markdown, what a program printed and the marks of testbed/documents.py are not read.
_FENCE = re.compile(r"\s*```(\w*)")
_PRINTED = {"console", "text", ""}
# A comment in a shell script, a Makefile, a Dockerfile, YAML or TOML; in a .proto file.
_COMMENT = re.compile(r"(?:^|\s)#(.*)")
_PROTO_COMMENT = re.compile(r"//(.*)")


@dataclass(frozen=True)
class Words:
    """What hack/words.toml says."""

    instead: Mapping[str, str]  # a word, as a regular expression, and what to write
    permitted: Sequence[str]  # phrases in which such a word is right, as regular expressions
    checked: Sequence[str]  # patterns of files, as `git ls-files` takes them
    permitted_in_docs: Sequence[str] = ()  # the same in Markdown, where such a word may mean a person

    @classmethod
    def read(cls, file: Path) -> "Words":
        return cls(**tomllib.loads(file.read_text()))

    @cached_property
    def _any(self) -> re.Pattern[str]:
        return re.compile(rf"\b(?:{'|'.join(self.instead)})\b", re.IGNORECASE)

    def found_in(self, line: str, *, docs: bool) -> Iterator[str]:
        """Yield a sentence for each word of a line that should be another one; `docs` is for Markdown."""
        if not self._any.search(line):  # most lines; 35 searches in each would take five seconds
            return
        for phrase in (*self.permitted, *(self.permitted_in_docs if docs else ())):
            line = re.sub(phrase, "", line, flags=re.IGNORECASE)
        for word, better in self.instead.items():
            for found in re.finditer(rf"\b(?:{word})\b", line, re.IGNORECASE):
                yield f'"{found[0]}": {better}'


def texts(name: str, content: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are read as English, each with its number."""
    if name.endswith(".py"):
        yield from _texts_of_python(content)
        return
    if name.endswith(".md"):
        yield from _texts_of_markdown(content)
        return
    pattern = _PROTO_COMMENT if name.endswith(".proto") else _COMMENT
    for number, line in enumerate(content.splitlines(), 1):
        if comment := pattern.search(line):
            yield number, comment[1]


def _texts_of_markdown(content: str) -> Iterator[tuple[int, str]]:
    language: str | None = None  # None outside of code
    for number, line in enumerate(content.splitlines(), 1):
        if fence := _FENCE.match(line):
            language = fence[1] if language is None else None
        elif language not in _PRINTED and not line.startswith("<!--"):
            yield number, line


def _texts_of_python(content: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type in _TEXT:
            for offset, line in enumerate(_decoded(token).splitlines()):
                yield token.start[0] + offset, line


def _decoded(token: tokenize.TokenInfo) -> str:
    """Return the text of a token. What stands in a string as `\\n` would join two words."""
    text = token.string
    if token.type == tokenize.STRING and "\n" not in text and not text.lower().startswith(("f", "rf", "fr")):
        return str(ast.literal_eval(text)).replace("\n", " ")
    return text


def mistakes(words: Words, name: str, content: str) -> list[str]:
    """Return a sentence for each word of a file that should be another one."""
    docs = name.endswith(".md")
    return [
        f"{name}:{number}: {sentence}"
        for number, line in texts(name, content)
        for sentence in words.found_in(line, docs=docs)
    ]


def main() -> None:
    """Check the files of the tree."""
    words = Words.read(CONFIG)
    listed = subprocess.run(["git", "ls-files", *words.checked], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    if wrong := [sentence for name in names for sentence in mistakes(words, name, (ROOT / name).read_text())]:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
