"""Which words are found, and where (hack/check_words.py)."""

import pytest

from hack.check_words import CONFIG, Words, mistakes

WORDS = Words(
    instead={"anew": "again", "gates?": "HTTP/2 proxy"},
    permitted=["feature gates?"],
    checked=["*.py"],
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


def test_the_list_of_the_tree_is_read() -> None:
    words = Words.read(CONFIG)
    assert list(words.found_in("Made anew, beside nobody.", docs=False)) == [
        '"anew": again, or from nothing',
        '"nobody": name the program, or use the passive',
    ]
    assert list(words.found_in("a feature gate", docs=False)) == []
    assert list(words.found_in("nobody is connected", docs=True)) == []
    assert list(words.found_in("nobody is connected", docs=False)) == ['"nobody": name the program, or use the passive']
