"""What a person got wrong on the command line."""


class BadArgument(Exception):
    """An argument that cannot be used, in one line."""
