"""Builds what the tests, the demo and the images need and what takes minutes, and keeps it in a cache of the machine.

`python -m hack.builds --help` lists the artifacts. Each is stored under a key of its inputs, so a tree finds what
another tree has built, and an artifact is never older than its inputs. The package uses only Python's standard library.
"""
