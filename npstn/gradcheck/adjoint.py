"""The adjoint test: is the backward pass of a linear function its transpose?

    A      the function of one input, the others fixed, without the constant that it may add
    <A x, y> = <x, A^T y>    for any x and y; backward gives A^T y

The test needs no step. It means nothing where A is not linear, so that is checked first: A(x + 2 z) = A x + 2 A z.
"""

from __future__ import annotations

import numpy as np

from npstn.gradcheck.subject import Subject

ADJOINT = 1e-12  # the error allowed, relative to the size of what was added up


def adjoint_error(subject: Subject, place: int, rng: np.random.Generator) -> tuple[float, str]:
    """The relative difference of <A x, y> and <x, A^T y>, and the fault that it is, or "".

    Args:
        place: the position of the input of A.
    """
    k, arrays = subject.places.index(place), subject.arrays
    name = subject.name_of(k)

    def f(x: np.ndarray) -> np.ndarray:
        arrays[k] = x.copy()
        return subject.value(arrays)

    x, z = rng.standard_normal((2, *arrays[k].shape))
    constant, of_x, of_z, of_sum = f(0 * x), f(x), f(z), f(x + 2 * z)
    # With the constant the values may be far larger than A x, and their rounding errors too.
    size = max(np.linalg.norm(value) for value in (constant, of_x, of_z, of_sum))
    bend = np.linalg.norm(of_sum + 2 * constant - of_x - 2 * of_z) / (size or 1.0)
    if not bend <= ADJOINT:
        what = f"A(x + 2 z) and A x + 2 A z differ by {bend:.1e} of their size"
        return np.nan, f"is not linear in {name}, though linear= says so: {what}; leave position {place} out of linear"

    y = rng.standard_normal(of_x.shape)
    arrays[k] = x.copy()
    ATy = subject.gradients(arrays, y.copy())[k]
    scale = max(np.linalg.norm(y) * size, np.linalg.norm(x) * np.linalg.norm(ATy))
    error = float(abs(((of_x - constant) * y).sum() - (x * ATy).sum()) / (scale or 1.0))
    if error <= ADJOINT:
        return error, ""
    what = f"<A x, y> and <x, A^T y> differ by {error:.1e} of the size of their terms"
    return error, f"backward is not the adjoint of forward in {name}: {what}"
