"""Programs run in a process of their own: there a crash is an exit status, not the end of the test session."""

import os
import subprocess
import sys
from pathlib import Path

import npstn

SOURCES = Path(npstn.__file__).parents[1]


def start_python(program, *arguments, **options):
    """Start a program on the sources that stand here, the arguments in its sys.argv."""
    env = {**os.environ, "PYTHONPATH": str(SOURCES), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], env=env, text=True, **options)


def run_python(program, *arguments, status=0):
    """Run a program; return what it prints, without the white space at the ends. It must end with the status."""
    with start_python(program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == status, err[-2000:]
    return out.strip()
