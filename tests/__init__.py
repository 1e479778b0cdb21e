"""The tests, and in `testbed` the real parts that they share with the demo."""
