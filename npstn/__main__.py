"""`python -m npstn`: the same as the command `npstn`."""

import sys

from npstn.cli.parser import main

if __name__ == "__main__":  # a process that a sweep starts imports this file too
    sys.exit(main())
