"""Decides when a VMI's value is written: a scheduler without I/O, and the worker that runs it."""
