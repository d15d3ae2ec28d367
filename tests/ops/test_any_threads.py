"""The number of threads changes no bit of a result, forward or backward.

A process of its own runs every sample with each number of threads: Numba fixes the largest number when it is imported,
and more threads than cores do no harm to the bits.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from finite_differences import differentiate

import npstn
from npstn.backend import parallel
from npstn.gradcheck.samples import samples

THREADS = [1, 2, 3, 5]
SAMPLES = samples(network=False)


def longer(sample, times=7):
    """The inputs with a batch so many times as long: more samples than threads, in unequal parts."""
    return [np.concatenate([x] * times) if k in sample.batch else x for k, x in enumerate(sample.inputs)]


def digest(sample, inputs):
    """A hash of all bits of the result and of the gradients, in both dtypes."""
    found = hashlib.sha256()
    for dtype in (np.float32, np.float64):
        arrays = [inputs[k].astype(dtype) for k in sample.arrays]

        def fn(*tensors):
            given = dict(zip(sample.arrays, tensors, strict=True))
            return sample.fn(*[given.get(k, x) for k, x in enumerate(inputs)])

        y, gradients, _ = differentiate(fn, *arrays)
        for array in (y, *gradients):
            found.update(array.tobytes())
    return found.hexdigest()


def print_digests():
    """Print the digests of every sample: one list for each number of threads."""
    parallel.LEAST = 1e-9  # share out even the smallest work
    digests = []
    for threads in THREADS:
        npstn.set_num_threads(threads)
        digests.append([[digest(sample, sample.inputs), digest(sample, longer(sample))] for sample in SAMPLES])
    numba.threading_layer()  # raises an error if no threads were started
    print(json.dumps(digests))


@pytest.fixture(scope="module")
def digests():
    if numba.config.DISABLE_JIT:
        pytest.skip("plain Python has no threads")
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), str(here.parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", "import test_any_threads; test_any_threads.print_digests()"],
        env={**os.environ, "NUMBA_NUM_THREADS": str(max(THREADS)), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(SAMPLES)), ids=map(str, SAMPLES))
def test_any_number_of_threads_gives_the_same_bits(number, digests):
    alone, *others = [of_all[number] for of_all in digests]
    for threads, other in zip(THREADS[1:], others, strict=True):
        assert other == alone, f"with {threads} threads"
