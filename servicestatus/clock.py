"""Types of the parameters by which a part of a program gets its time and its randomness.

Tests pass virtual ones, so nothing is monkeypatched.
"""

from collections.abc import Awaitable, Callable

#: Returns seconds of a clock that never goes back, such as `time.monotonic`.
Clock = Callable[[], float]
#: Returns seconds since the epoch, such as `time.time`.
WallClock = Callable[[], float]
#: Waits for a number of seconds, such as `asyncio.sleep`.
Sleep = Callable[[float], Awaitable[None]]
#: Returns a number drawn evenly between two others, such as `random.uniform`.
Uniform = Callable[[float, float], float]
