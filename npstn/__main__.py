"""`python -m npstn`: the same as the command `npstn`."""

import sys

from npstn.cli import main

sys.exit(main())
