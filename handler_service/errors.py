"""What ends the program before it has begun."""


class ConfigurationError(Exception):
    """What a flag names cannot be used; the text names the flag and the file. The program ends with status 2."""
