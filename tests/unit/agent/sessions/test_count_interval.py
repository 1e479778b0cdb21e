"""The interval of possible numbers, against every world that could have given the same events."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.sessions.count_interval import CountInterval, unknown_interval

EVENTS = st.lists(st.sampled_from("CID"), max_size=40)


@dataclass
class Worlds:
    """Each number of finished clients that is possible after the events so far, by brute force."""

    connected: int = 0
    finished: set[int] = field(default_factory=lambda: {0})

    def after(self, event: str) -> "Worlds | None":
        """None: no world has room for this event."""
        if event == "C":
            return Worlds(self.connected + 1, self.finished)
        if event == "I":
            possible = {number + 1 for number in self.finished if number < self.connected}
            return Worlds(self.connected, possible) if possible else None
        finished_left = {number - 1 for number in self.finished if number > 0}
        unfinished_left = {number for number in self.finished if number < self.connected}
        return Worlds(self.connected - 1, finished_left | unfinished_left) if self.connected else None


def after(counter: CountInterval, event: str) -> CountInterval:
    return {"C": counter.connect, "I": counter.initialize, "D": counter.disconnect}[event]()


@given(EVENTS)
def test_the_bounds_are_exactly_those_of_all_possible_worlds(events: list[str]) -> None:
    worlds, counter = Worlds(), CountInterval()
    for event in events:
        following = worlds.after(event)
        if following is None:
            continue  # libvirt cannot send this one here
        worlds, counter = following, after(counter, event)
        assert (counter.least, counter.most) == (min(worlds.finished), max(worlds.finished))
        assert worlds.finished == set(range(counter.least, counter.most + 1))
        assert counter.connected == worlds.connected


@given(EVENTS)
def test_the_bounds_lie_within_those_that_the_numbers_of_events_give(events: list[str]) -> None:
    worlds, counter = Worlds(), CountInterval()
    connects = initializes = disconnects = 0
    for event in events:
        following = worlds.after(event)
        if following is None:
            continue
        worlds, counter = following, after(counter, event)
        connects, initializes = connects + (event == "C"), initializes + (event == "I")
        disconnects += event == "D"
        assert counter.least >= max(0, initializes - disconnects)
        assert counter.most <= min(initializes, connects - disconnects)


@given(st.integers(0, 9), EVENTS)
def test_events_that_make_no_sense_keep_the_bounds_in_order(connected: int, events: list[str]) -> None:
    counter = unknown_interval(connected)
    for event in events:
        counter = after(counter, event)
        assert 0 <= counter.least <= counter.most <= counter.connected


def test_a_takeover_keeps_one_though_the_old_viewer_leaves_before_the_new_one_has_finished() -> None:
    counter = CountInterval().connect().initialize()
    counter = counter.connect()
    assert (counter.most, counter.exact) == (1, True)
    counter = counter.disconnect()
    assert (counter.most, counter.exact) == (1, False)
    counter = counter.initialize()
    assert (counter.most, counter.exact) == (1, True)


def test_a_client_that_finishes_without_having_connected_was_missed_and_is_connected() -> None:
    assert CountInterval().initialize() == CountInterval(connected=1, least=1, most=1)


def test_a_client_that_leaves_an_empty_room_was_never_counted() -> None:
    assert CountInterval().disconnect() == CountInterval()


def test_of_clients_that_were_listed_nothing_is_known_until_they_have_left() -> None:
    listed = unknown_interval(2)
    assert (listed.connected, listed.least, listed.most) == (2, 0, 2)
    assert listed.disconnect().disconnect() == CountInterval()
