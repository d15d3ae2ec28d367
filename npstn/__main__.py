"""`python -m npstn`: the same as the command `npstn`."""

import sys

from npstn.cli.parser import main

sys.exit(main())
