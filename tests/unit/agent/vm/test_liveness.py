"""The two ways in which the agent notices that libvirtd hangs fit each other."""

from launcher_agent.vm import liveness, monitor


def test_a_libvirtd_that_answers_calls_is_never_pinged_and_one_that_hangs_is_left_after_six_seconds() -> None:
    """A ping costs both sides wake-ups, for each VM."""
    interval, count = monitor.KEEPALIVE
    assert interval > liveness._INTERVAL
    assert interval * (count + 1) == 6
