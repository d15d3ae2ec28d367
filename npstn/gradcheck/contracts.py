"""The contracts of a backward pass, which its numbers alone do not show, and the adjoint test.

Each contract is a function that yields a text for everything it finds broken. The contracts run on the inputs of the
check, with a random cotangent, and need no differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from npstn.autograd import Context, Tensor
from npstn.gradcheck.subject import Subject

# The errors allowed, relative to the largest number of an array:
EXACT = 1e-12  # where only the order of additions may differ
SINGLE = 1e-4  # between float32 and float64: a whole network adds up many roundings
ADJOINT = 1e-12  # relative to the product of the two norms

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda x: x.T.copy().T,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1] if x.ndim else x,
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}


def broken_contracts(subject: Subject, batch: Sequence[int], rng: np.random.Generator) -> dict[str, str]:
    """The name of each contract with a text that says how it is broken, or with "". An exception breaks it, too."""
    y = subject.value(subject.arrays)
    v, w = rng.standard_normal((2, *y.shape))
    contracts: dict[str, Iterator[str]] = {
        "changes no array": _changes_no_array(subject, v),
        "same again": _same_again(subject, v),
        "linear in the upstream gradient": _linear_in_upstream(subject, v, w),
        "each gradient alone": _each_alone(subject, v),
        "any layout": _any_layout(subject, v),
        "float32": _single_precision(subject, v),
    }
    if batch:
        contracts["empty batch"] = _empty_batch(subject, batch)
    return {name: _text(found) for name, found in contracts.items()}


def _text(found: Iterator[str]) -> str:
    """The first two findings, and how many more there are."""
    texts: list[str] = []
    try:
        texts += found
    except Exception as error:  # noqa: BLE001 - any error of fn belongs in the report
        texts.append(f"it raises {type(error).__name__}: {error}")
    return "; ".join(texts[:2]) + (f"; and {len(texts) - 2} more" if len(texts) > 2 else "")


def _changes_no_array(subject: Subject, v: np.ndarray) -> Iterator[str]:
    """Neither forward nor backward writes to an input, a saved array, the result or the upstream gradient."""
    arrays, dy = subject.arrays, v.copy()
    y, _ = subject.call(arrays)
    watched = [
        (subject.name_of(k), x, before) for k, (x, before) in enumerate(zip(arrays, subject.arrays, strict=True))
    ]
    for context in _tape(y):
        watched += [
            (f"an array saved by {context.function.name}", x, x.copy())
            for x in context.saved
            if isinstance(x, np.ndarray)
        ]
    watched += [("the result", y.data, y.data.copy()), ("the upstream gradient", dy, v)]
    if y.requires_grad:
        y.backward(dy)
    for what, now, before in watched:
        if not _same_bits(now, before):
            yield f"{what} was changed"


def _same_again(subject: Subject, v: np.ndarray) -> Iterator[str]:
    """Two calls give the same bits."""
    first, second = _results(subject, v), _results(subject, v)
    for what in first:
        if not _same_bits(first[what], second[what]):
            yield f"{what} differs in a second call"


def _linear_in_upstream(subject: Subject, v: np.ndarray, w: np.ndarray) -> Iterator[str]:
    """backward(2 v - 3 w) = 2 backward(v) - 3 backward(w), and backward(0) = 0 exactly."""
    of_v, of_w, of_sum, of_zero = (_results(subject, dy) for dy in (v, w, 2 * v - 3 * w, 0 * v))
    for what in list(of_v)[1:]:
        if np.any(of_zero[what] != 0):
            yield f"{what} is not zero, though the upstream gradient is"
        yield from _differs(what, of_sum[what], 2 * of_v[what] - 3 * of_w[what], EXACT)


def _each_alone(subject: Subject, v: np.ndarray) -> Iterator[str]:
    """A gradient is the same whether or not other gradients are asked for."""
    together = subject.gradients(subject.arrays, v.copy())
    for k in np.flatnonzero(subject.asked).tolist():
        alone = subject.gradients(subject.arrays, v.copy(), [i == k for i in range(len(together))])
        yield from _differs(f"the gradient of {subject.name_of(k)}", alone[k], together[k], EXACT)


def _any_layout(subject: Subject, v: np.ndarray) -> Iterator[str]:
    """The inputs and the upstream gradient may have any memory layout, and may be read-only."""
    expected = _results(subject, v)
    for name, layout in LAYOUTS.items():
        results = _results(subject, layout(v), [layout(x) for x in subject.arrays])
        for what in expected:
            yield from _differs(f"{what}, with {name} arrays,", results[what], expected[what], EXACT)


def _single_precision(subject: Subject, v: np.ndarray) -> Iterator[str]:
    """float32 inputs give a float32 result, and the same numbers as float64 to float32's precision."""
    dy, arrays = v.astype(np.float32), [x.astype(np.float32) for x in subject.arrays]
    expected = _results(subject, dy.astype(np.float64), [x.astype(np.float64) for x in arrays])
    if (dtype := subject.value(arrays).dtype) != np.float32:
        yield f"the result for float32 inputs is {dtype}"
        return
    # Tensor.backward itself checks that each gradient has the dtype of its input.
    for what, single in _results(subject, dy, arrays).items():
        yield from _differs(what, single, expected[what], SINGLE)


def _empty_batch(subject: Subject, batch: Sequence[int]) -> Iterator[str]:
    """An empty batch gives no error, and gradients of zeros."""
    inputs = [x[:0] if k in batch else x for k, x in enumerate(subject.given)]
    empty = Subject(subject.fn, inputs, subject.name)
    dy = np.ones_like(empty.value(empty.arrays))
    for what, dx in list(_results(empty, dy).items())[1:]:
        if np.any(dx != 0):
            yield f"{what} is not zero"


def _results(subject: Subject, dy: np.ndarray, arrays: Sequence[np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The result and the gradients, each under its name in the report."""
    if arrays is None:
        dy, arrays = dy.copy(), subject.arrays
    value = subject.value(arrays)
    gradients = subject.gradients(arrays, dy)
    return {
        "the result": value,
        **{f"the gradient of {subject.name_of(k)}": dx for k, dx in enumerate(gradients)},
    }


def _tape(y: Tensor) -> Iterator[Context]:
    """Every operation that led to y."""
    waiting: list[Context | Tensor | None] = [y._context]
    seen = set()
    while waiting:
        context = waiting.pop()
        if isinstance(context, Context) and context not in seen:
            seen.add(context)
            yield context
            waiting += context.sources or ()


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _differs(what: str, actual: np.ndarray, expected: np.ndarray, tolerance: float) -> Iterator[str]:
    if actual.shape != expected.shape:
        yield f"{what} has shape {actual.shape}, not {expected.shape}"
        return
    error = np.max(abs(actual - expected), initial=0.0) / (np.max(abs(expected), initial=0.0) or 1.0)
    if not error <= tolerance:
        yield f"{what} differs by {error:.1e}"


def adjoint_error(subject: Subject, place: int, rng: np.random.Generator) -> float:
    """The relative difference of <A x, y> and <x, A^T y>: A is the function of input `place`, A^T its backward."""
    k, arrays = subject.places.index(place), subject.arrays
    arrays[k] = np.zeros_like(arrays[k])
    constant = subject.value(arrays)
    arrays[k] = x = rng.standard_normal(arrays[k].shape)
    Ax = subject.value(arrays) - constant
    y = rng.standard_normal(Ax.shape)
    ATy = subject.gradients(arrays, y.copy())[k]
    scale = np.linalg.norm(Ax) * np.linalg.norm(y)
    return float(abs((Ax * y).sum() - (x * ATy).sum()) / (scale or 1.0))
