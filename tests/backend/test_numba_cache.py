"""Machine code on disk that is damaged, and disks that take no more: compiled afresh, and said once where."""

import itertools

import numba
import pytest
from processes import start_python

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: nothing is compiled")

KERNELS = """
from npstn.backend.compiler import kernel
@kernel
def double(x):
    return x + x
@kernel
def halve(first, end, x):
    for i in range(first, end):
        x[i] /= 2
"""

USE = """
import resource, signal, sys
if sys.argv[2] == "full":  # no file may grow, as on a full disk
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
sys.path.insert(0, sys.argv[1])
import numpy as np, kernels
from npstn.backend.parallel import rehearsing, share_out
x = np.full(4, 3.0)
with rehearsing(lambda kernel, signature: print("missing", end=" ")):
    share_out(kernels.halve, 4, x)
share_out(kernels.halve, 4, x)
print(kernels.double(1.5), x.tolist(), kernels.double(2), sum(kernels.double.stats.cache_hits.values()))
"""
RESULTS = "3.0 [1.5, 1.5, 1.5, 1.5] 4"


@pytest.fixture
def use(tmp_path):
    """A function that uses two kernels in a new process: what it prints, and the lines that it says."""
    (tmp_path / "kernels.py").write_text(KERNELS)
    changes = {"NUMBA_CACHE_DIR": tmp_path / "cache", "NUMBA_NUM_THREADS": 1, "PYTHONWARNINGS": "always"}

    def use(disk="roomy"):
        with start_python(USE, tmp_path, disk, changes=changes, stdout=-1, stderr=-1) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out.strip(), [line for line in err.splitlines() if "npstn: " in line]

    return use


def files(folder, suffix):
    return [path for path in folder.rglob(f"*{suffix}") if path.name.startswith("kernels.")]


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damages", [(empty, cut), (zeros, zeros)], ids=["empty and cut", "zeros"])
def test_damaged_files_are_compiled_afresh_and_named_once(use, tmp_path, damages, suffix):
    use()
    damaged = files(tmp_path / "cache", suffix)
    assert len(damaged) == {".nbi": 2, ".nbc": 3}[suffix]
    for path, damage in zip(damaged, itertools.cycle(damages)):
        damage(path)
    out, said = use()
    assert out.endswith(f"{RESULTS} 0")
    (line,) = said
    assert f"damaged machine code in {damaged[0].parent} (" in line
    assert line.endswith(") is compiled afresh")
    assert use() == (f"{RESULTS} 2", [])  # the files are new


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_damage_that_cannot_be_removed_is_named(use, tmp_path, suffix):
    use()
    for path in files(tmp_path / "cache", suffix):
        a_folder(path)
    out, said = use()
    assert out.endswith(f"{RESULTS} 0")
    assert said
    assert all(f" machine code in {path.parent} (" in line or f"kept in {path.parent} (" in line for line in said)


def test_a_full_disk_is_named_once(use, tmp_path):
    out, said = use("full")
    assert out.endswith(f"{RESULTS} 0")
    (line,) = said
    assert f"machine code cannot be kept in {tmp_path / 'cache'}" in line
    assert line.endswith("kernels are compiled afresh in each process")
    assert "File too large" in line
    out, said = use()  # there is room again
    assert (out, said) == (f"missing {RESULTS} 0", [])
    assert use() == (f"{RESULTS} 2", [])
