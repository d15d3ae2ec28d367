"""SciPy's BLAS, on one thread."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def blas_of_one_thread() -> Any:
    """`scipy.linalg.blas`, limited to one thread.

    The threads of the BLAS would compete with those of the kernels, and results would depend on their number.
    NumPy's BLAS keeps its threads, unless SciPy uses the same library.
    """
    import scipy.linalg.blas
    import threadpoolctl

    blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    of_scipy = [library["filepath"] for library in blas.info() if "scipy.libs" in library["filepath"]]
    (blas.select(filepath=of_scipy) if of_scipy else blas).limit(limits=1)
    return scipy.linalg.blas
