"""The errors that end a command with one line."""


class BadArgument(Exception):
    """An argument that cannot be used, in one line."""
