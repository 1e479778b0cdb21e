"""When to write a VMI's value: a scheduler without I/O, and the worker that runs it."""
