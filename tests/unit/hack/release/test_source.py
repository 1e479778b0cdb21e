"""What can be released, and the error for what cannot."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hack.builds.commands import BuildError
from hack.release import source

CHANGELOG = """# Changelog

## Unreleased

- Later.

## 0.2.0 (2026-12-01)

- Second.
- Third.

## 0.1.0

- First.
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit, of the date 1,000,000,000."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=First")
    return tmp_path


def git(tree: Path, *words: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    dates = {"GIT_AUTHOR_DATE": "@1000000000 +0000", "GIT_COMMITTER_DATE": "@1000000000 +0000"}
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tree), **dates}
    command = ["git", "-C", str(tree), *identity, *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_release_is_the_commit_its_date_and_the_section_of_its_version(tree: Path) -> None:
    commit = git(tree, "rev-parse", "HEAD").strip()
    assert source.read("0.2.0", tree) == source.Source("0.2.0", commit, 1_000_000_000, "- Second.\n- Third.\n", tree)


def test_the_last_section_ends_with_the_file() -> None:
    assert source.notes_of("0.1.0", CHANGELOG) == "- First.\n"


@pytest.mark.parametrize("version", ["v0.2.0", "0.2", "0.2.0-rc1", "latest", "0.02.0"])
def test_what_is_no_version_is_an_error_with_an_example(tree: Path, version: str) -> None:
    with pytest.raises(BuildError, match=r"as in `make release VERSION=0\.2\.0`; '.*' is none"):
        source.read(version, tree)


def test_no_version_is_an_error_with_an_example(tree: Path) -> None:
    with pytest.raises(BuildError, match=r"as in `make release VERSION=0\.2\.0`; none was given"):
        source.read("", tree)


def test_a_version_that_the_project_does_not_state_is_an_error(tree: Path) -> None:
    with pytest.raises(BuildError, match=r"VERSION=0\.3\.0, but pyproject\.toml states 0\.2\.0; change it there"):
        source.read("0.3.0", tree)


def test_a_version_without_notes_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"CHANGELOG\.md has no section `## 0\.3\.0` with text in it"):
        source.notes_of("0.3.0", CHANGELOG)
    with pytest.raises(BuildError, match=r"CHANGELOG\.md has no section `## 0\.3\.0` with text in it"):
        source.notes_of("0.3.0", "## 0.3.0\n\n## 0.2.0\n\n- Second.\n")


def test_a_tree_with_changes_is_an_error_that_names_them(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG + "- More.\n")
    (tree / "new.txt").touch()
    with pytest.raises(BuildError, match=r"these are in none: CHANGELOG\.md, new\.txt; commit or remove them"):
        source.read("0.2.0", tree)


def test_of_many_changes_the_first_are_named(tree: Path) -> None:
    for number in range(7):
        (tree / f"{number}.txt").touch()
    with pytest.raises(BuildError, match=r"0\.txt, 1\.txt, 2\.txt, 3\.txt, 4\.txt, and 2 more; commit"):
        source.read("0.2.0", tree)


def test_what_is_built_is_the_commit_whatever_happens_to_the_tree_meanwhile(tree: Path, tmp_path: Path) -> None:
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    (tree / ".gitignore").write_text("ignored\n")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message=Second")
    (tree / "ignored").touch()
    chosen = source.read("0.2.0", tree)
    (tree / "CHANGELOG.md").write_text(CHANGELOG + "- More.\n")
    git(tree, "commit", "--quiet", "--all", "--message=Third")
    (tree / "new.txt").touch()
    exported = source.export(chosen, tmp_path / "source")
    assert exported == replace(chosen, tree=tmp_path / "source")
    assert {path.name: path.stat().st_mode & 0o777 for path in exported.tree.iterdir()} == {
        ".gitignore": 0o644,
        "CHANGELOG.md": 0o644,
        "pyproject.toml": 0o644,
        "run": 0o755,
    }
    assert (exported.tree / "CHANGELOG.md").read_text() == CHANGELOG


def test_the_changelog_of_this_tree_has_the_version_that_it_states() -> None:
    changelog = Path(__file__).parents[4] / "CHANGELOG.md"
    assert source.notes_of(source.project_version(), changelog.read_text())
