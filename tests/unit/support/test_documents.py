"""How examples are read from pages, and what counts as the same output."""

from pathlib import Path

import pytest

from testbed.documents import Example, read_page, worlds

_PAGE = """\
# A page

<!-- file: greet.py -->
```python
print("hello")
```

Words.

<!-- run: cluster, one viewer -->
```console
$ python greet.py
hello
$ kubectl get \\
    vmiss
NAME   AGE
...
```

```console
$ never run
```
"""


def _example(output: str) -> Example:
    return Example("page.md", 1, "cluster", "nobody", "true", output, {})


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(_PAGE)
    return path


def test_a_page_gives_its_files_and_the_commands_that_are_marked(page: Path) -> None:
    """With the line at which each stands, and what it prints; the console without a mark is for reading only."""
    first, second = read_page(page, "page.md").examples
    assert (first.line, first.command, first.output) == (12, "python greet.py", "hello")
    assert (second.line, second.command) == (14, "kubectl get \\\n    vmiss")
    assert second.output == "NAME   AGE\n..."
    assert (second.world, second.scene) == ("cluster", "one viewer")
    assert second.files == {"greet.py": 'print("hello")\n'}


def test_a_mark_that_names_no_scene_is_a_mistake(page: Path) -> None:
    """The error names its line."""
    page.write_text(_PAGE.replace("cluster, one viewer", "cluster"))
    with pytest.raises(AssertionError, match=r"page.md:10: 'cluster' is not a world and a scene"):
        read_page(page, "page.md")


def test_a_mark_without_code_is_a_mistake(page: Path) -> None:
    page.write_text("<!-- file: x.py -->\n\nno code\n")
    with pytest.raises(AssertionError, match=r"page.md:1: no code follows"):
        read_page(page, "page.md")


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("NAME     AGE\nfedora   3d", "NAME  AGE\nfedora  12s\n"),
        ("since 2026-11-24T09:08:54Z", "since 2027-01-01T00:00:00.5Z"),
        ('"sent": "3"', '"sent": "15"'),
        ("at /tmp/vss-abc/x", "at /tmp/vss-q1w2e3/x"),
        ("a\n...\nd", "a\nb\nc\nd"),
        ("a\n...\nd", "a\nd"),
        ("refused: ... again", "refused: whatever it says again"),
    ],
)
def test_what_no_two_runs_have_in_common_counts_as_equal(page: str, printed: str) -> None:
    """Ages, times, counters, directories, the width of columns, and what a page leaves out."""
    assert _example(page).printed_by(printed)


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("fedora   1", "fedora   2"),
        ("True", "False"),
        ("a\nb", "a"),
        ("a", "a\nb"),
        ("a\n...\nd", "a\nb"),
        ('"sessions": 1', '"sessions": 2'),
    ],
)
def test_anything_else_is_a_difference(page: str, printed: str) -> None:
    assert not _example(page).printed_by(printed)


def test_every_world_that_pages_ask_for_is_played() -> None:
    """By tests/host/ and the test_docs.py of apiserver, kubevirt and libvirt: a misspelt one would never run."""
    assert worlds() == {
        "KubeVirt",
        "a cluster without KubeVirt",
        "a kustomization",
        "cluster",
        "cluster of a UI",
        "cluster with the field",
        "cluster without an agent",
        "demo",
        "host",
        "pod",
    }
