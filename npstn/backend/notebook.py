"""Whether this process is the kernel of a notebook."""

from __future__ import annotations

import importlib.util
import sys


def shows_bars() -> bool:
    """Whether this process is a notebook's kernel, and ipywidgets is there: then `tqdm.auto` draws a bar in the page.

    Without ipywidgets it would warn, and leave every state of the bar on the page.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config and importlib.util.find_spec("ipywidgets") is not None
