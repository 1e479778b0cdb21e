"""Channel options: one value for each name."""

import pytest

from servicestatus import contract

OPTIONS = {
    "channel": contract.CHANNEL_OPTIONS,
    "server": contract.SERVER_OPTIONS,
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_no_option_is_there_twice(options: contract.Options) -> None:
    """gRPC would take the first one without a warning."""
    names = [name for name, _ in options]
    assert sorted(names) == sorted(set(names))


def test_an_option_is_replaced_and_a_new_one_is_added() -> None:
    assert contract.override([("a", 1), ("b", 2)], ("a", 3), ("c", 4)) == [("a", 3), ("b", 2), ("c", 4)]
