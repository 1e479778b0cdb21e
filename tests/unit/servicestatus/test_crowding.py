"""Which connections of a crowded port stay."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from servicestatus.crowding import newest_of_each

CONNECTIONS = st.lists(st.sampled_from("abcde"), max_size=30).map(lambda hosts: dict(enumerate(hosts)))


@given(CONNECTIONS, st.integers(0, 20))
def test_the_oldest_of_the_most_crowded_host_leaves_until_there_is_room(hosts: dict[int, str], room: int) -> None:
    """It is chosen at once what would be chosen one by one."""
    left = dict(hosts)
    while len(left) > room:
        most = Counter(left.values())
        del left[max(left, key=lambda name: most[left[name]])]
    assert newest_of_each(hosts, room) == left.keys()


def test_a_host_with_few_connections_keeps_them() -> None:
    """However many connections another host has, and whichever came first."""
    hosts = {"slow": "a", **{str(number): "b" for number in range(500)}, "late": "c"}
    assert newest_of_each(hosts, 4) == {"slow", "late", "499", "498"}
