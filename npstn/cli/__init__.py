"""The command `npstn`: parser.py reads its arguments, and each command is a file."""
