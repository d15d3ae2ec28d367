"""Other projects' gradient checkers, each with its defaults, on cases in NumPy.

    python -m tests.peers.checkers torch        prints the verdicts as JSON

Each function runs one case: it wraps f and backward as an operation of its package, and returns whether the checker
accepts the gradient. A package is imported only by its own checker: each has a virtual environment of its own.
"""

import functools
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tests.mistakes import MISTAKES, planted
from tests.peers.cases import CASES, Case

from npstn.gradcheck.subject import Subject


def torch_slow(case: Case, **options: bool) -> bool:
    import torch
    from torch.autograd.gradcheck import GradcheckError

    class Operation(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *xs):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(*xs)
            return torch.as_tensor(np.asarray(case.f([x.detach().numpy() for x in xs])))

        @staticmethod
        def backward(ctx, dy):  # type: ignore[no-untyped-def]
            dxs = case.backward([x.detach().numpy() for x in ctx.saved_tensors], dy.numpy())
            return tuple(torch.as_tensor(np.asarray(dx)) for dx in dxs)

    torch.manual_seed(0)
    inputs = tuple(torch.tensor(x, requires_grad=True) for x in case.inputs)
    try:
        return torch.autograd.gradcheck(Operation.apply, inputs, **options)
    except GradcheckError:
        return False


def torch_fast(case: Case) -> bool:
    return torch_slow(case, fast_mode=True)


def jax(case: Case) -> bool:
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)

    def f_of(*xs):  # type: ignore[no-untyped-def]
        return jax.numpy.asarray(case.f([np.array(x) for x in xs]))

    def backward_of(xs, dy):  # type: ignore[no-untyped-def]
        return tuple(jax.numpy.asarray(dx) for dx in case.backward([np.array(x) for x in xs], np.array(dy)))

    operation = jax.custom_vjp(f_of)
    operation.defvjp(lambda *xs: (f_of(*xs), xs), backward_of)
    try:
        check_grads(operation, tuple(case.inputs), order=1, modes=["rev"])
    except AssertionError:
        return False
    return True


def autograd(case: Case) -> bool:
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    operation = primitive(lambda *xs: case.f(xs))
    places = range(len(case.inputs))
    defvjp(operation, *(lambda y, *xs, k=k: lambda dy: case.backward(xs, dy)[k] for k in places))
    np.random.seed(0)
    try:
        check_grads(operation, tuple(places), modes=["rev"], order=1)(*case.inputs)
    except AssertionError:
        return False
    return True


def scipy(case: Case) -> bool:
    from scipy.optimize import check_grad

    ends = np.cumsum([x.size for x in case.inputs])[:-1]

    def split(z: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(x.shape) for part, x in zip(np.split(z, ends), case.inputs, strict=True)]

    v = np.random.default_rng(0).standard_normal(np.shape(case.f(case.inputs)))

    def gradient(z: np.ndarray) -> np.ndarray:
        return np.concatenate([np.ravel(dx) for dx in case.backward(split(z), v.copy())])

    z = np.concatenate([x.ravel() for x in case.inputs])
    error = check_grad(lambda z: float((v * case.f(split(z))).sum()), gradient, z)
    return bool(error <= 1e-5 + 1e-3 * np.linalg.norm(gradient(z)))


def tensorflow(case: Case) -> bool:
    import tensorflow as tf

    def f_of(*xs):  # type: ignore[no-untyped-def]
        return np.asarray(case.f([np.array(x) for x in xs]))

    def backward_of(dy, *xs):  # type: ignore[no-untyped-def]
        return [np.asarray(dx) for dx in case.backward([np.array(x) for x in xs], np.array(dy))]

    @tf.custom_gradient
    def operation(*xs):  # type: ignore[no-untyped-def]
        y = tf.ensure_shape(tf.numpy_function(f_of, xs, tf.float64), np.shape(case.f(case.inputs)))
        return y, lambda dy: tf.numpy_function(backward_of, [dy, *xs], [tf.float64] * len(xs))

    found, expected = tf.test.compute_gradient(operation, [x.copy() for x in case.inputs])
    pairs = zip(found, expected, strict=True)
    return all(np.allclose(one, other, rtol=1e-6, atol=1e-6) for one, other in pairs)


def pytensor(case: Case) -> bool:
    from pytensor.compile.mode import Mode
    from pytensor.gradient import GradientError, verify_grad
    from pytensor.graph.basic import Apply
    from pytensor.graph.op import Op
    from pytensor.tensor import TensorType

    class Backward(Op):
        def make_node(self, dy, *xs):  # type: ignore[no-untyped-def]
            return Apply(self, [dy, *xs], [x.type() for x in xs])

        def perform(self, node, inputs, storage):  # type: ignore[no-untyped-def]
            dy, *xs = inputs
            for place, dx in zip(storage, case.backward(xs, np.array(dy)), strict=True):
                place[0] = np.asarray(dx)

    class Forward(Op):
        def make_node(self, *xs):  # type: ignore[no-untyped-def]
            shape = np.shape(case.f([x.copy() for x in case.inputs]))
            return Apply(self, list(xs), [TensorType("float64", shape)()])

        def perform(self, node, inputs, storage):  # type: ignore[no-untyped-def]
            storage[0][0] = np.asarray(case.f(inputs))

        def pullback(self, inputs, outputs, cotangents):  # type: ignore[no-untyped-def]
            dxs = Backward()(cotangents[0], *inputs)
            return dxs if isinstance(dxs, list) else [dxs]

    try:
        interpreted = Mode(linker="py", optimizer="fast_compile")
        verify_grad(Forward(), [x.copy() for x in case.inputs], rng=np.random.default_rng(0), mode=interpreted)
    except GradientError:
        return False
    return True


class Checker(NamedTuple):
    title: str
    package: str
    check: Callable[[Case], bool]
    how: str  # what is called, and what was decided where its defaults leave something open

    @property
    def version(self) -> str:
        return self.package.split("==")[1]


CHECKERS = {
    "torch": Checker("PyTorch", "torch==2.13.0", torch_slow, "`torch.autograd.gradcheck`."),
    "torch_fast": Checker("PyTorch, fast", "torch==2.13.0", torch_fast, "the same with `fast_mode=True`."),
    "jax": Checker("JAX", "jax==0.10.2", jax,
                   '`jax.test_util.check_grads` with `order=1` and `modes=["rev"]`: the cases have no second '
                   "derivatives and no forward mode. 64-bit numbers are switched on."),
    "autograd": Checker("autograd", "autograd==1.9.1", autograd,
                        "`autograd.test_util.check_grads`, with the same options, for all arguments. By default it "
                        "checks the first one only."),
    "scipy": Checker("SciPy", "scipy==1.17.1", scipy,
                     "`scipy.optimize.check_grad` of the sum of the outputs, weighted at random. It returns an error "
                     "and gives no verdict. Here it accepts an error up to 1e-5 plus 1e-3 of the gradient's norm: "
                     "PyTorch's tolerances."),
    "tensorflow": Checker("TensorFlow", "tensorflow-cpu==2.21.0", tensorflow,
                          "`tf.test.compute_gradient`, which takes a step of 1/1024. It returns two Jacobians and "
                          "gives no verdict. Here it accepts what `tf.test.TestCase.assertAllClose` accepts, with "
                          "tolerances of 1e-6 and 1e-6: so its documentation compares them."),
    "pytensor": Checker("PyTensor", "pytensor==3.0.7", pytensor,
                        "`pytensor.gradient.verify_grad`, interpreted: to compile each case takes minutes."),
}  # fmt: skip


def verdict(check: Callable[[Case], bool], case: Case) -> str:
    try:
        return "accepted" if check(case) else "refused"
    except Exception as error:  # noqa: BLE001 - any error is an answer, though not a verdict
        return f"raises {type(error).__name__}"


def verdicts(check: Callable[[Case], bool]) -> dict[str, str]:
    """The verdict on each case, and on each planted mistake.

    A mistake is accepted if it is accepted in all samples whose right gradient is accepted, and "-" if there are none.
    """
    found = {case.name: verdict(check, case) for case in tqdm(CASES, "  cases")}

    @functools.cache
    def accepted(sample) -> bool:  # type: ignore[no-untyped-def]
        return verdict(check, _as_case(sample)) == "accepted"

    for mistake in tqdm(MISTAKES, "  planted mistakes"):
        found[title(mistake)] = "-"
        for sample in filter(accepted, mistake.samples):
            with planted(mistake):
                through = verdict(check, _as_case(sample)) == "accepted"
            found[title(mistake)] = "accepted" if through else "refused"
            if not through:
                break
    return found


def title(mistake) -> str:  # type: ignore[no-untyped-def]
    return f"`{mistake.where}`: {mistake.what}"


def _as_case(sample) -> Case:  # type: ignore[no-untyped-def]
    subject = Subject(sample.fn, sample.inputs)
    return Case(str(sample), True, subject.arrays, subject.value, subject.gradients)


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.disable()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    print(json.dumps(verdicts(CHECKERS[sys.argv[1]].check)))
