"""The version of this package, in a file that imports nothing: the build reads it, and every part may."""

__version__ = "0.1.0"
