"""The contracts of a backward pass, which its numbers alone do not show.

Each contract is a function that yields a text for everything it finds broken. The contracts run on the inputs of the
check, with random cotangents, and need no differences.

Where two numbers must agree up to the order of additions, their difference is judged against the size of what was added
up. A sum that cancels is small, but its rounding errors are as large as its terms make them: see `trial`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from npstn.autograd import Context, Tensor
from npstn.gradcheck.elsewhere import LAYOUTS, UPSTREAM, wrong_slopes
from npstn.gradcheck.pairs import Options
from npstn.gradcheck.precision import NotAsked, explain_float64
from npstn.gradcheck.subject import Subject
from npstn.gradcheck.trial import Trial, largest, named, results, sizes, unequal

# The errors allowed, relative to the size of what was added up:
EXACT = 1e-12  # where only the order of additions may differ
SINGLE = 1e-4  # between float32 and float64: a whole network adds up many roundings

HUGE = 2.0**60  # about 1e18: a power of two scales without rounding
NEARBY = 1 - 2.0**-20  # towards zero, where a domain such as [-1, 1] does not end


@np.errstate(all="ignore")
def broken_contracts(
    subject: Subject,
    chosen: Sequence[str],
    batch: Sequence[int],
    rng: np.random.Generator,
    options: Options,
) -> tuple[dict[str, str], list[str]]:
    """The name of each chosen contract with a text that says how it is broken, or with ""; and notes on the others.

    An exception breaks a contract, too.
    """
    v, w = map(np.asarray, rng.standard_normal((2, *subject.value(subject.arrays).shape)))
    expected = results(subject, v)
    trial = Trial(subject, options, batch, v, w, expected, sizes(subject, v, expected))
    broken, notes = {}, []
    for name in chosen:
        try:
            broken[name] = _text(CONTRACTS[name](trial))
        except NotAsked as reason:
            notes.append(f"the contract {name!r} was not checked: {reason}")
    return broken, notes


def _text(found: Iterator[str]) -> str:
    """The first two findings, and how many more there are."""
    texts: list[str] = []
    try:
        for text in found:
            texts.append(text)
    except NotAsked:
        raise
    except Exception as error:  # noqa: BLE001 - any error of fn belongs in the report
        texts.append(f"it raises {type(error).__name__}: {error}")
    return "; ".join(texts[:2]) + (f"; and {len(texts) - 2} more" if len(texts) > 2 else "")


def _changes_no_array(trial: Trial) -> Iterator[str]:
    """Neither forward nor backward writes to an input, a saved array, the result or the upstream gradient.

    A gradient that was promised to be a new array shares no memory with any of them.
    """
    subject, dy = trial.subject, trial.v.copy()
    arrays = subject.arrays
    y, tensors = subject.call(arrays)
    watched = [
        (subject.name_of(k), x, before) for k, (x, before) in enumerate(zip(arrays, subject.arrays, strict=True))
    ]
    for context in _tape(y):
        watched += [
            (f"an array saved by {context.function.name}", x, x.copy())
            for x in context.saved
            if isinstance(x, np.ndarray)
        ]
    watched += [("the result", y.data, y.data.copy()), ("the upstream gradient", dy, trial.v)]
    if y.requires_grad:
        y.backward(dy)
    for what, now, before in watched:
        if not _same_bits(now, before):
            yield f"{what} was changed"
    given = [(f"the gradient of {subject.name_of(k)}", x.grad) for k, x in enumerate(tensors) if x.grad is not None]
    for i, (gradient, dx) in enumerate(given):
        for what, other in [(what, now) for what, now, _ in watched] + given[:i]:
            if np.shares_memory(dx, other):
                yield f"{gradient} shares its memory with {what}, though gives_new_arrays promises a new array"


def _same_again(trial: Trial) -> Iterator[str]:
    """Two calls give the same bits."""
    second = results(trial.subject, trial.v)
    for what, first in trial.expected.items():
        if not _same_bits(first, second[what]):
            yield f"{what} differs in a second call"


def _same_without_tape(trial: Trial) -> Iterator[str]:
    """The result is the same whether or not the tape records it."""
    value = trial.subject.value(trial.subject.arrays)
    yield from _differs(trial, "the result", value, "under no_grad")


def _two_graphs(trial: Trial) -> Iterator[str]:
    """Two graphs at once do not disturb each other, whichever backward runs first.

    A buffer that is used again, or an array kept on the class and not in ctx, shows here.
    """
    subject = trial.subject
    points = [(subject.arrays, trial.v), ([np.multiply(x, NEARBY, out=x) for x in subject.arrays], trial.w)]
    alone = [results(subject, dy, arrays) for arrays, dy in points]
    for order in (0, 1), (1, 0):
        graphs = [subject.call([x.copy() for x in arrays]) for arrays, _ in points]
        for i in order:
            if graphs[i][0].requires_grad:
                graphs[i][0].backward(points[i][1].copy())
        for i, (y, tensors) in enumerate(graphs):
            for what, now in named(subject, y.data, subject.gradients_of(tensors)).items():
                if not _same_bits(now, alone[i][what]):
                    yield (
                        f"{what} of the {('first', 'second')[i]} of two graphs differs "
                        f"if the {('first', 'second')[order[0]]} one's backward runs first"
                    )


def _another_point(trial: Trial) -> Iterator[str]:
    """The gradients are right at another point, too: nothing is kept from the first call on.

    The entries of each input come in reverse order there. Where fn cannot be computed there, nothing is judged.
    """
    elsewhere = trial.subject.at([np.flip(x) for x in trial.subject.arrays])
    try:
        possible = bool(np.isfinite(elsewhere.value(elsewhere.arrays)).all())
    except Exception:  # noqa: BLE001 - fn may ask for sorted numbers, say
        possible = False
    if possible:
        yield from wrong_slopes(elsewhere, trial.options)


def _linear_in_upstream(trial: Trial) -> Iterator[str]:
    """backward(2 v - 3 w) = 2 backward(v) - 3 backward(w), and backward(0) = 0 exactly.

    backward(s v) = s backward(v) for huge and tiny s: nothing is clipped, and nothing is left out.
    backward(u) = backward(u - 2 v) + 2 backward(v) for the special u in `UPSTREAM`; u - 2 v has nothing special.
    A NaN in the upstream gradient gives a NaN wherever that number counts.
    """
    subject, v, w, of_v = trial.subject, trial.v, trial.w, trial.expected
    of_w, of_sum, of_zero = (results(subject, dy) for dy in (w, 2 * v - 3 * w, 0 * v))
    for what in list(of_v)[1:]:
        if np.any(of_zero[what] != 0):
            yield f"{what} is not zero, though the upstream gradient is"
        size = 2 * trial.sizes[what] + 3 * largest(of_w[what])
        yield from unequal(what, of_sum[what], 2 * of_v[what] - 3 * of_w[what], EXACT * size)
    for scale in HUGE, 1 / HUGE:
        scaled = results(subject, scale * v)
        for what in list(of_v)[1:]:
            size = scale * trial.sizes[what]
            clause = f"{what}, for upstream gradients of about {scale:.0e},"
            yield from unequal(clause, scaled[what], scale * of_v[what], EXACT * size)
    if not v.size:
        return
    for kind, make in UPSTREAM.items():
        u = np.asarray(make(v))
        of_u, of_rest = results(subject, u), results(subject, u - 2 * v)
        for what in list(of_v)[1:]:
            size = (2 + largest(u - 2 * v) / largest(v)) * trial.sizes[what] + largest(of_rest[what])
            clause = f"{what}, for an upstream gradient of {kind},"
            yield from unequal(clause, of_u[what], of_rest[what] + 2 * of_v[what], EXACT * size)
    one = np.zeros_like(v)
    one.flat[abs(of_v["the result"]).argmax()] = 1  # in place of a result that is 0 it may not count, as in relu
    of_one, of_nan = (results(subject, dy) for dy in (one, np.where(one, np.nan, v)))
    for what in list(of_v)[1:]:
        if np.any((of_one[what] != 0) & ~np.isnan(of_nan[what])):
            yield f"{what} hides a NaN of the upstream gradient"


def _each_alone(trial: Trial) -> Iterator[str]:
    """A gradient is the same whether or not others are asked for: each alone, each two, and all but one."""
    subject = trial.subject
    asked = np.flatnonzero(subject.asked).tolist()
    pairs = itertools.combinations(asked, 2) if len(asked) <= 8 else itertools.pairwise(asked)
    few_of: list[tuple[int, ...]] = [(k,) for k in asked]
    few_of += pairs if len(asked) > 2 else []
    few_of += itertools.combinations(asked, len(asked) - 1) if len(asked) > 3 else []
    for few in few_of:
        found = subject.gradients(subject.arrays, trial.v.copy(), [k in few for k in range(len(subject.asked))])
        for k in few:
            others = " and that of ".join(subject.name_of(i) for i in few if i != k)
            how = f"with that of {others}" if others else "alone"
            yield from _differs(trial, f"the gradient of {subject.name_of(k)}", found[k], f"asked for {how}")


def _any_layout(trial: Trial) -> Iterator[str]:
    """The inputs and the upstream gradient may each have any memory layout, and may be read-only.

    The backward of a sum gives an upstream gradient that repeats one number, or one row, with strides of zero.
    """
    subject = trial.subject
    names = [subject.name_of(k) for k in range(len(subject.arrays))]
    upstream = len(names)  # the place of dy behind the inputs
    every = set(range(upstream + 1))
    changed = [({upstream}, "the upstream gradient"), (every - {upstream}, "all inputs"), (every, "all arrays")]
    if len(names) > 1:
        changed += [({k}, name) for k, name in enumerate(names)]
    for name, layout in LAYOUTS.items():
        for places, which in changed:
            *arrays, dy = [layout(x) if k in places else x for k, x in enumerate([*subject.arrays, trial.v.copy()])]
            for what, found in results(subject, dy, arrays).items():
                yield from _differs(trial, what, found, f"with {which} {name}")
    for repeated in (trial.v.ravel()[:1], trial.v[:1], trial.v[..., :1]) if trial.v.ndim and trial.v.size else ():
        dy = np.broadcast_to(repeated, trial.v.shape)
        written_out = results(subject, dy.copy())
        for what, found in results(subject, dy, subject.arrays).items():
            clause = f"{what}, with an upstream gradient of strides {dy.strides},"
            yield from unequal(clause, found, written_out[what], EXACT * trial.sizes[what])


def _single_precision(trial: Trial) -> Iterator[str]:
    """float32 inputs give a float32 result, and the same numbers as float64 to float32's precision.

    A number too large for float32 is infinite in it.
    """
    subject = trial.subject
    dy, arrays = trial.v.astype(np.float32), [x.astype(np.float32) for x in subject.arrays]
    expected = results(subject, dy.astype(np.float64), [x.astype(np.float64) for x in arrays])
    try:
        if (dtype := subject.value(arrays).dtype) != np.float32:
            raise TypeError(f"the result for float32 inputs is {dtype}")
        single = results(subject, dy, arrays)  # Tensor.backward itself checks the gradients' dtypes
    except TypeError as error:
        yield f"{error}{explain_float64(subject, arrays, dy)}"
        return
    for what, found in single.items():
        reachable = expected[what].astype(np.float32).astype(np.float64)
        yield from unequal(f"{what} in float32", found.astype(np.float64), reachable, SINGLE * trial.sizes[what])


def _batch_of_one(trial: Trial) -> Iterator[str]:
    """The gradients are right for a batch of one sample."""
    yield from wrong_slopes(_first_samples(trial, 1), trial.options)


def _empty_batch(trial: Trial) -> Iterator[str]:
    """An empty batch gives no error, and gradients of zeros."""
    empty = _first_samples(trial, 0)
    dy = np.ones_like(empty.value(empty.arrays))
    for what, dx in list(results(empty, dy).items())[1:]:
        if np.any(dx != 0):
            yield f"{what} is not zero"


CONTRACTS: dict[str, Callable[[Trial], Iterator[str]]] = {
    "changes no array": _changes_no_array,
    "same again": _same_again,
    "same under no_grad": _same_without_tape,
    "two graphs": _two_graphs,
    "another point": _another_point,
    "linear in the upstream gradient": _linear_in_upstream,
    "each gradient alone": _each_alone,
    "any layout": _any_layout,
    "float32": _single_precision,
    "batch of one": _batch_of_one,
    "empty batch": _empty_batch,
}
ABOUT_SLOPES = ("another point", "batch of one")


def _first_samples(trial: Trial, count: int) -> Subject:
    given = trial.subject.given
    return trial.subject.with_inputs([x[:count] if k in trial.batch else x for k, x in enumerate(given)])


def _differs(trial: Trial, what: str, found: np.ndarray, clause: str) -> Iterator[str]:
    yield from unequal(f"{what}, {clause},", found, trial.expected[what], EXACT * trial.sizes[what])


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
