"""Names of Kubernetes objects, as the API server takes them."""

import pytest

from servicestatus import names


@pytest.mark.parametrize("name", ["a", "a-1", "0", "n" * 63])
def test_a_dns_label_names_a_namespace(name: str) -> None:
    assert names.is_namespace(name)


@pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "a-", "a\n", "..", "ä", "n" * 64])
def test_anything_else_names_no_namespace(name: str) -> None:
    assert not names.is_namespace(name)


@pytest.mark.parametrize("name", ["vm", "b.c-2", "0.0", "m" * 253, "m" * 64 + ".x"])
def test_a_dns_subdomain_names_an_object(name: str) -> None:
    assert names.is_object_name(name)


@pytest.mark.parametrize("name", ["", "a..b", ".a", "a.", "vm-", "../x", "vm\n", "m" * 254])
def test_anything_else_names_no_object(name: str) -> None:
    assert not names.is_object_name(name)
