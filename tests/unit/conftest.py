"""How much hypothesis tries here, and that a loaded machine does not fail it."""

from hypothesis import settings

# No deadline: two busy cores make one slow example out of a thousand. The database stays out of the tree.
settings.register_profile("unit", deadline=None, database=None)
settings.load_profile("unit")
