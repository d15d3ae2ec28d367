"""The switch to the reference: the loops of the formula in place of the fast kernels.

conv2d, linear, max_pool2d and the bicubic sampler have two sets of kernels. Those in `conv2d.py`, `linear.py`,
`max_pool2d.py` and `grid_sample_bicubic.py` are the formula's own loops; those in `conv2d_fast.py`, `conv2d_sparse.py`
and so on are many times faster, and no longer look like the formula. In every other operation the loops are the
formula, and run always.
"""

from __future__ import annotations

from npstn.backend.switch import Switch


class reference(Switch):
    """Run conv2d, linear, max_pool2d and bicubic sampling by the loops of their formulas: to read, debug and compare.

    What was recorded inside goes back by the formula's loops too, also after the `with`. The choice holds for one
    thread of Python, as that of `no_grad` does. Also a decorator.

    The loops are compiled, too. With the environment variable NUMBA_DISABLE_JIT=1 they run as plain Python: a debugger
    stops at a breakpoint in `npstn/ops/conv2d.py`, and `print` prints there.

    >>> import npstn
    >>> import npstn.functional as F
    >>> image, weight = npstn.Tensor([[[[1.0, 2.0, 4.0]]]]), npstn.Tensor([[[[-1.0, 1.0]]]])
    >>> with npstn.reference():
    ...     F.conv2d(image, weight)
    Tensor([[[[1., 2.]]]], dtype=float32)
    """


def plain_loops() -> bool:
    """Whether this thread is inside a `reference()`."""
    return reference.is_on()
