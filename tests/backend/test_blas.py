"""SciPy's BLAS works on one thread, from the first step of Muon on."""

import numba
import pytest
from processes import run_python

BLAS = """
import numpy as np, scipy.linalg.cython_blas, threadpoolctl
from npstn.optim import orthogonal
def threads():
    blas = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    of_scipy = [lib for lib in blas if "scipy.libs" in lib["filepath"]] or blas
    return [lib["num_threads"] for lib in of_scipy]
before = threads()
orthogonal(np.ones((2, 3)))
print(*before, *threads())
"""


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core: the BLAS has one thread anyway")
def test_scipys_blas_has_one_thread_after_muon():
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), 2)
    assert run_python(BLAS, **variables) == "2 1"
