"""Python in a process of its own: with another environment, and where nothing can be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import npstn

PACKAGE = Path(npstn.__file__).parent


def run_python(code, *arguments, root=PACKAGE.parent, **changes):
    """What the code prints, run in a changed environment. A value of None removes a variable; `root` holds npstn."""
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in changes.items():
        env.pop(name, None)
        if value is not None:
            env[name] = str(value)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def read_only_copy(folder):
    """A copy of the package into which nothing can be written: its root; and the variables of a user without a home."""
    copy = folder / "site" / "npstn"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for place in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        # Permissions do not stop root, who may run the tests; a file in place of the cache's folder does.
        (place / "__pycache__").write_text("not a folder")
    below_a_file = copy / "__init__.py" / "folder"
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), below_a_file)
    return copy.parent, {**nowhere, "NUMBA_CACHE_DIR": below_a_file, "MPLCONFIGDIR": None, "NPSTN_DATA_DIR": None}
