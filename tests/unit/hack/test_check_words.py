"""Which words are found, and where (hack/check_words.py)."""

from pathlib import Path

import pytest

from hack.check_words import CONFIG, Words, check, mistakes, shrink

WORDS = Words(
    instead={"anew": "again", "gates?": "HTTP/2 proxy"},
    permitted=["feature gates?"],
    checked=["*.py"],
    not_clean_yet=["old/", "file.py"],
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.py", '"""Docs.\n\nMade anew."""\n'),
        ("a.py", "x = 1\n\ny = 2  # made anew\n"),
        ("a.py", '\n\nx = f"{y} made anew"\n'),
        ("a.py", '\n\nx = "made\\nanew"\n'),
        ("a.sh", "\n\nrun # anew\n"),
        ("a.proto", "\n\nmessage A {} // anew\n"),
        ("a.md", "\n\nAnew\n"),
        ("a.md", "```python\n\n# anew\n```\n"),
        ("a.md", "```\n```\nanew\n"),
    ],
)
def test_a_word_is_found_where_people_read(name: str, content: str) -> None:
    (found,) = mistakes(WORDS, name, content)
    assert found.lower() == f'{name}:3: "anew": again'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.py", "anew = gate(1)\n"),
        ("a.sh", "anew --gate\n"),
        ("a.py", "# renewed, a feature gate, feature gates\n"),
        ("a.md", "```console\n$ run\nmade anew\n```\n<!-- run: demo, anew -->\n"),
    ],
)
def test_names_of_programs_and_the_fields_own_phrases_are_left_alone(name: str, content: str) -> None:
    assert mistakes(WORDS, name, content) == []


def test_a_path_that_is_not_clean_yet_may_have_them() -> None:
    found = {"old/a.py": ["1"], "file.py": ["2"], "older.py": ["3"], "clean.py": []}
    assert check(WORDS, found) == ["3"]


def test_a_path_that_is_clean_must_not_be_an_exception() -> None:
    assert check(WORDS, {"old/a.py": ["1"], "file.py": []}) == [
        "hack/words.toml: file.py is clean or missing",
        "run: .venv/bin/python hack/check_words.py --shrink",
    ]


def test_shrinking_removes_the_lines_of_clean_paths_and_nothing_else() -> None:
    text = '# why\nnot_clean_yet = [\n  "a/",\n  "a/b.py",\n]\n'
    assert shrink(text, ["a/"]) == '# why\nnot_clean_yet = [\n  "a/b.py",\n]\n'


def test_the_list_of_the_tree_is_read() -> None:
    words = Words.read(CONFIG)
    assert list(words.found_in("Made anew, beside nobody.", docs=False)) == [
        '"anew": again, or from nothing',
        '"nobody": name the program, or use the passive',
    ]
    assert list(words.found_in("a feature gate", docs=False)) == []
    assert list(words.found_in("nobody is connected", docs=True)) == []
    assert list(words.found_in("nobody is connected", docs=False)) == ['"nobody": name the program, or use the passive']


def test_every_exception_exists() -> None:
    root = Path(__file__).parents[3]
    assert [path for path in Words.read(CONFIG).not_clean_yet if not (root / path).exists()] == []
