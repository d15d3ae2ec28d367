"""Kernels: compiled once, kept on disk where that is possible, and dividing as NumPy does."""

import numba
import pytest
from processes import read_only_copy, run_python

from npstn.backend.compiler import kernel

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: nothing is compiled")

MINE = """
from npstn.backend.compiler import kernel
@kernel
def divide(a, b):
    return a / b
@kernel
def halve(first, end, a):
    for i in range(first, end):
        a[i] /= 2
"""

USE_MINE = """
import sys; sys.path.insert(0, sys.argv[1])
import mine, numpy as np
from npstn.backend.parallel import share_out
x = np.full(4, 3.0)
share_out(mine.halve, 4, x)
print(mine.divide(1.0, 0.0), x.tolist(), sum(mine.halve.stats.cache_hits.values()))
"""


@compiled_only
def test_a_kernel_is_kept_on_disk_and_divides_as_numpy_does(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    settings = {"NUMBA_CACHE_DIR": tmp_path / "cache", "NUMBA_BOUNDSCHECK": None}
    used = [run_python(USE_MINE, str(tmp_path), **settings) for _ in range(2)]
    assert used == [f"inf [1.5, 1.5, 1.5, 1.5] {hits}" for hits in (0, 1)]
    kept = [path.name for path in (tmp_path / "cache").rglob("*.nbi") if path.name.startswith("mine")]
    assert sorted(name.split("-")[0] for name in kept) == ["mine.divide", "mine.halve"]


USE = """
import numpy as np, npstn, npstn.functional as F
theta = npstn.Tensor([[[1, 0, 0], [0, 1, 0]]], requires_grad=True)
grid = F.affine_grid(theta, (1, 1, 3, 3), align_corners=True)
grid.backward(np.ones(grid.shape, np.float32))
print(npstn.__file__, grid.data[0, 2, 1].tolist(), theta.grad[0, 0].tolist())
"""


@pytest.mark.parametrize("cache", [None, "below a file", "/proc/npstn-cache"])
def test_kernels_run_read_only_and_without_a_home(tmp_path, cache):
    root, nowhere = read_only_copy(tmp_path)
    if cache != "below a file":
        nowhere["NUMBA_CACHE_DIR"] = cache
    used = run_python(USE, root=root, **nowhere)
    assert used == f"{root / 'npstn/__init__.py'} [0.0, 1.0] [0.0, 0.0, 9.0]"


def test_an_error_that_has_nothing_to_do_with_the_cache_is_raised(monkeypatch):
    def refuse(**options):
        raise RuntimeError("another reason")

    monkeypatch.setattr(numba, "njit", refuse)
    with pytest.raises(RuntimeError, match="^another reason$"):
        kernel(lambda: None)
