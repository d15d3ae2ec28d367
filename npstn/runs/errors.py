"""What goes wrong with a run folder."""


class RunError(Exception):
    """What is wrong with a run folder, in one line."""


class RunExists(RunError):
    """The folder for a new run holds something that must not be replaced."""


class RunIsBusy(RunError):
    """Another process is working in the run folder."""
