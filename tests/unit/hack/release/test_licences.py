"""Licences in SPDX's words."""

import pytest

from hack.release.licences import of_debian, of_prose, of_python, references

FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Expat"], "MIT"),
        (["GPL-2+", "Expat", "GPL-2+"], "GPL-2.0-or-later AND MIT"),
        (["GPL-1+ or Artistic"], "(Artistic-1.0-Perl OR GPL-1.0-or-later)"),
        (["BSD-3-clause and Expat"], "BSD-3-Clause AND MIT"),
        (["Expat", "public-domain"], "LicenseRef-debian-public-domain AND MIT"),
        (["GPL-2+ or a licence of its own"], "(GPL-2.0-or-later OR LicenseRef-debian-a-licence-of-its-own)"),
        (["GPL-2+ or Expat and ISC"], "LicenseRef-debian-gpl-2.plus-or-expat-and-isc"),
        ([], None),
    ],
)
def test_the_licences_of_a_debian_package(lines: list[str], expected: str | None) -> None:
    text = "".join(f"Files: *\nCopyright: A\nLicense: {line}\n The text.\n\n" for line in lines)
    assert of_debian(FORMAT + text) == expected


def test_a_copyright_file_in_prose_is_its_own_licence() -> None:
    prose = "This package was made by A.\nLicense: MIT\n"
    assert of_debian(prose) is None
    assert of_prose("gcc-14", prose) == "LicenseRef-debian-copyright-gcc-14-ea3bd89f"
    assert of_prose("gcc-14", prose + "More.\n") != of_prose("gcc-14", prose)
    assert references(f"{of_prose('libx++', prose)} AND MIT") == {"LicenseRef-debian-copyright-libx.plus.plus-ea3bd89f"}


def test_a_package_without_a_copyright_file_has_no_licence() -> None:
    assert of_debian("") is None
    assert of_prose("gcc-14", "") is None


@pytest.mark.parametrize(
    ("expression", "classifiers", "name", "expected"),
    [
        ("Apache-2.0 OR MIT", [], "something else", "Apache-2.0 OR MIT"),
        (None, ["License :: OSI Approved :: MIT License", "Typing :: Typed"], None, "MIT"),
        (None, ["License :: OSI Approved"], "Apache 2.0", "Apache-2.0"),
        (None, ["License :: OSI Approved :: BSD License"], "3-Clause BSD License", "BSD-3-Clause"),
        (None, ["License :: OSI Approved :: BSD License"], None, None),
        (None, [], "see the file", None),
    ],
)
def test_the_licence_of_a_python_package(
    expression: str | None, classifiers: list[str], name: str | None, expected: str | None
) -> None:
    assert of_python(expression, classifiers, name) == expected


def test_the_references_of_an_expression_are_found() -> None:
    expression = "(GPL-2.0-or-later OR LicenseRef-debian-gpl-2.plus) AND LicenseRef-debian-pd AND MIT"
    assert references(expression) == {"LicenseRef-debian-gpl-2.plus", "LicenseRef-debian-pd"}
