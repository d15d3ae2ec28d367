"""Gradients by finite differences, which judge every backward pass."""

import numpy as np

import npstn


def differentiate(fn, *arrays, asked=None, cotangent=None):
    """Run fn on Tensors of the arrays, then backward from a random cotangent (or from the given one).

    Returns (y, gradients, cotangent), all ndarrays; a gradient is what `.grad` holds after backward. Only inputs that
    are `asked` for require grad.
    """
    asked = asked or (True,) * len(arrays)
    tensors = [npstn.Tensor(array, requires_grad=wanted) for array, wanted in zip(arrays, asked, strict=True)]
    y = fn(*tensors)
    if cotangent is None:
        cotangent = random_cotangent(y.shape, y.dtype)
    y.backward(cotangent)
    return y.data, [tensor.grad for tensor in tensors], cotangent


def random_cotangent(shape, dtype=np.float64):
    """Signed numbers of about 1, the same each time: with a cotangent of ones, errors of two signs would cancel."""
    return np.random.default_rng(20150605).standard_normal(shape).astype(dtype)


def evaluate(fn, *arrays):
    """The value of fn on Tensors of the arrays, without a tape."""
    with npstn.no_grad():
        return fn(*(npstn.Tensor(array) for array in arrays)).data


def numeric_gradients(fn, *arrays, cotangent, step):
    """The gradient of sum(cotangent * fn(arrays)) for every entry of every array, by central differences in float64.

    The differences are taken before the sum, for each output alone, so that outputs that do not change cancel exactly.
    They are divided by the distance of the two points as floating point represents it, not by 2 step.
    """
    arrays = [np.array(array, np.float64) for array in arrays]
    gradients = [np.zeros(array.shape) for array in arrays]
    for array, gradient in zip(arrays, gradients, strict=True):
        for entry in np.ndindex(array.shape):
            here = array[entry]
            h = step * max(1.0, abs(here))
            above, below = here + h, here - h
            array[entry] = above
            y_above = evaluate(fn, *arrays)
            array[entry] = below
            y_below = evaluate(fn, *arrays)
            array[entry] = here
            gradient[entry] = (cotangent * (y_above - y_below)).sum() / (above - below)
    return gradients


def assert_gradients(fn, *arrays, step=1e-5, tolerance=1e-9):
    """Assert that fn's gradients equal the numeric ones to within `tolerance`.

    The tolerance is relative to the largest entry of each array, or to 1 if that is larger: where terms of about 1
    cancel to nearly nothing, their rounding errors remain. The default step gives an error of
    about 1e-10 for smooth functions. For piecewise linear functions the error does not grow with the step: choose a
    large step that crosses no kink, and a tolerance near the rounding errors.
    """
    assert all(array.dtype == np.float64 for array in arrays)
    _, gradients, cotangent = differentiate(fn, *arrays)
    expected = numeric_gradients(fn, *arrays, cotangent=cotangent, step=step)
    for number, (dx, numeric) in enumerate(zip(gradients, expected, strict=True)):
        scale = np.abs(numeric).max(initial=1.0)
        np.testing.assert_allclose(dx, numeric, rtol=0, atol=tolerance * scale, err_msg=f"gradient of input {number}")
