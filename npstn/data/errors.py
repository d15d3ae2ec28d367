"""The error that every source of images raises."""


class DataError(RuntimeError):
    """Says in one line what is wrong with a data file or folder: the path, what was expected, what to do."""
