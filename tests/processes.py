"""Python in a process of its own: where a crash is an exit status, with another environment, in a read-only package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import npstn

PACKAGE = Path(npstn.__file__).parent


def start_python(code, *arguments, root=PACKAGE.parent, changes=None, **options):
    """Start code on the npstn in the folder `root`, the arguments in its sys.argv, in a changed environment.

    A value of None in `changes` removes a variable.
    """
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in (changes or {}).items():
        env.pop(name, None)
        if value is not None:
            env[name] = str(value)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=root, env=env, text=True, **options)


def run_python(code, *arguments, status=0, root=PACKAGE.parent, **changes):
    """What the code prints, without the white space at the ends. It must end with the status."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start_python(code, *arguments, root=root, changes=changes, **pipes) as process:
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == status, err[-3000:]
    return out.strip()


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
