"""What `import npstn` brings along and changes: little, and nothing."""

import numba
import pytest
from processes import read_only_copy, run_python


def test_import_brings_nothing_heavy_along():
    heavy = run_python("import sys, npstn; print(*{'matplotlib', 'torch', 'pooch', 'tqdm'} & set(sys.modules))")
    assert heavy == ""


IMPORT = """
import ctypes, sys
import numpy, scipy.linalg.cython_blas, threadpoolctl
class Recorder(ctypes.CDLL):
    def __getattr__(self, name):
        asked.append(name)
        return super().__getattr__(name)
asked, ctypes.CDLL = [], Recorder
before = threadpoolctl.threadpool_info()
import npstn
after = threadpoolctl.threadpool_info()  # in another order each time
print("mallopt" in asked, all(library in after for library in before))
"""


def test_import_changes_neither_the_c_librarys_memory_nor_the_threads_of_a_blas():
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), 2)
    assert run_python(IMPORT, **variables) == "False True"


def test_import_starts_no_thread():
    assert run_python("import threading, npstn; print(threading.active_count())") == "1"


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: nothing is compiled")
def test_import_compiles_nothing():
    code = (
        "from numba.core.event import install_recorder\n"
        "with install_recorder('numba:compile') as compiled:\n"
        "    import npstn\n"
        "print(len(compiled.buffer))"
    )
    assert run_python(code) == "0"


def test_import_works_read_only_and_without_a_home(tmp_path):
    root, nowhere = read_only_copy(tmp_path)
    assert run_python("import npstn; print(npstn.__file__)", root=root, **nowhere) == str(root / "npstn/__init__.py")
