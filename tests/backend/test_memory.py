"""The C library keeps the memory of freed arrays, from the first tensor on."""

import ctypes

import pytest
from processes import run_python

RECORD = """
import ctypes, numpy as np
class Recorder(ctypes.CDLL):
    def __getattr__(self, name):
        asked.append(name)
        return super().__getattr__(name)
asked, ctypes.CDLL = [], Recorder
"""

USE = """
import npstn, npstn.functional as F
for _ in range(3):
    F.max_pool2d(npstn.Tensor(np.ones((1, 1, 4, 4))), 2)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_the_first_tensor_asks_for_it_once():
    assert run_python(RECORD + USE + "print(asked.count('mallopt'))") == "1"


def test_a_c_library_that_cannot_be_asked_is_left_alone():
    refuse = "import ctypes, numpy as np, numba\ndef refuse(name): raise OSError\nctypes.CDLL = refuse\n"
    assert run_python(refuse + USE + "print('works')") == "works"
