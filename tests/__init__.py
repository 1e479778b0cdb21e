"""The tests, and in `tests.support` the real parts that they share with the demo."""
