"""Errors that end the program at its start."""


class ConfigurationError(Exception):
    """A flag's value cannot be used; the text names the flag and the file. The program exits with status 2."""
