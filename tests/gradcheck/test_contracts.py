"""The contracts of a backward pass: each is broken by a function that keeps the others."""

import numpy as np
import pytest
from small_operations import operation, report_on, square

import npstn.functional as F
from npstn.autograd import Function, Tensor
from npstn.gradcheck import CONTRACTS, check_op, gradcheck

pytestmark = pytest.mark.usefixtures("one_thread")
X = np.random.default_rng(0).normal(size=(4, 5))


def broken(report):
    return [name for name, what in report.contracts.items() if what]


class Spoiled(Function):
    """y = 2 x for a batch of rows; `how` names the way in which it breaks a contract."""

    @staticmethod
    def forward(ctx, x, how):
        ctx.save_for_backward(x, np.ones(3))
        ctx.how = how
        y = 2 * x
        if how == "forward writes":
            x[...] = 0
        if how == "float64 out":
            y = y.astype(np.float64)
        if how == "rough in float32":
            y = y.astype(np.float16).astype(x.dtype) if x.dtype == np.float32 else y
        if how == "batch of one at least":
            y[0]
        if how == "rough without the tape" and not any(ctx.needs_input_grad):
            y = y.astype(np.float32).astype(x.dtype)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, ones = ctx.saved
        how = ctx.how
        if how == "writes what it saved":
            ones[0] = 0
        if how == "writes upstream":
            dy *= 2
            return dy, None
        if how == "never twice the same":
            Spoiled.calls = getattr(Spoiled, "calls", 0) + 1
            return 2 * dy + 1e-14 * Spoiled.calls * abs(dy), None
        if how == "a constant":
            return 2 * dy + 1e-300, None
        if how == "order of memory":
            return 2 * dy.ravel(order="K").reshape(dy.shape), None
        if how == "layouts alike only" and x.flags.c_contiguous != dy.flags.c_contiguous:
            return 2 * dy.ravel(order="K").reshape(dy.shape), None
        for limit in (5, 100):
            if how == f"clips at {limit}":
                return 2 * np.clip(dy, -limit, limit), None
        for limit in (1e-2, 1e-6):
            if how == f"skips below {limit:g}":
                return 2 * np.where(abs(dy) < limit, 0, dy), None
        return 2 * dy, None


@pytest.mark.parametrize("how, contract", [
    ("forward writes", "changes no array"),
    ("writes what it saved", "changes no array"),
    ("writes upstream", "changes no array"),
    ("never twice the same", "same again"),
    ("rough without the tape", "same under no_grad"),
    ("a constant", "linear in the upstream gradient"),
    ("clips at 5", "linear in the upstream gradient"),
    ("clips at 100", "linear in the upstream gradient"),
    ("skips below 0.01", "linear in the upstream gradient"),
    ("skips below 1e-06", "linear in the upstream gradient"),
    ("order of memory", "any layout"),
    ("layouts alike only", "any layout"),
    ("float64 out", "float32"),
    ("rough in float32", "float32"),
    ("batch of one at least", "empty batch"),
    ("not at all", None),
])  # fmt: skip
def test_contracts(how, contract):
    x = np.arange(1.0, 13).reshape(4, 3) / 7
    report = report_on(Spoiled.apply, (x, how), check_op, batch=(0,))
    assert (contract in broken(report) and not report) if contract else (not broken(report) and report), str(report)
    assert list(report.contracts) == list(CONTRACTS)


class Buffered(Function):
    """y = x^3, whose arrays are one buffer used again: that of `where` it is used."""

    gives_new_arrays = True
    buffer = np.empty_like(X)

    @staticmethod
    def forward(ctx, x, where):
        ctx.save_for_backward(x)
        ctx.where = where
        Buffered.last = x
        return np.multiply(x * x, x, out=Buffered.buffer if where == "result" and x.shape == X.shape else None)

    @staticmethod
    def backward(ctx, dy):
        x = Buffered.last if ctx.where == "saved on the class" else ctx.saved[0]
        if ctx.where == "upstream":
            dy *= 3 * x * x
            return dy, None
        return np.multiply(3 * x * x, dy, out=Buffered.buffer if ctx.where == "gradient" else None), None


@pytest.mark.parametrize("where", ["result", "gradient", "saved on the class"])
def test_two_graphs(where):
    report = report_on(Buffered.apply, (X, where), check_op, contracts=("two graphs", "same again"))
    assert broken(report) == ["two graphs"], str(report)
    assert check_op(Buffered.apply, (X, "nowhere"))


def test_the_two_graphs_are_named():
    report = report_on(Buffered.apply, (X, "gradient"), check_op)
    said = "the gradient of x of the first of two graphs differs if the first one's backward runs first"
    assert report.contracts["two graphs"].startswith(said)


def test_a_promise_of_new_arrays():
    class Same(Function):
        gives_new_arrays = True

        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, dy):
            dx = dy.copy()
            return dx, dx

    report = report_on(Same.apply, (X, X), check_op)
    said = "the gradient of b shares its memory with the gradient of a, though gives_new_arrays promises a new array"
    assert report.contracts["changes no array"] == said
    Same.gives_new_arrays = False
    assert check_op(Same.apply, (X, X))


def squared(wrong_where, factor=lambda x: x):
    """x², whose gradient 2 x dy has another factor where `wrong_where(x, dy)` says so."""
    return operation(lambda x: x * x, lambda x, dy: (factor(x) if wrong_where(x, dy) else 2 * x) * dy)


@pytest.mark.parametrize("wrong_where, factor", [
    (lambda x, dy: (dy == 1).all(), lambda x: x),
    (lambda x, dy: np.ptp(dy) == 0, lambda x: x),
    (lambda x, dy: (dy > 0).all(), lambda x: 2 * abs(x)),
    (lambda x, dy: (dy < 0).all(), lambda x: 2 * abs(x)),
    (lambda x, dy: np.mean(dy == 0) >= 0.9, lambda x: 2 * x * (np.arange(5) < 4)),
], ids=["ones", "one number", "positive", "negative", "sparse"])  # fmt: skip
def test_special_upstream_gradients(wrong_where, factor):
    report = report_on(squared(wrong_where, factor), X, check_op)
    assert "linear in the upstream gradient" in broken(report), str(report)


def test_an_upstream_gradient_of_one():
    """The usual loss: one number, whose upstream gradient is 1."""
    mean = operation(lambda x: np.asarray((x * x).mean()), lambda x, dy: (1 if dy == 1 else 2) * x * dy / x.size)
    assert broken(report_on(mean, X, check_op)) == ["linear in the upstream gradient"]


def test_a_nan_of_the_upstream_gradient():
    hidden = operation(lambda x: x * x, lambda x, dy: 2 * x * np.nan_to_num(dy))
    said = report_on(hidden, X, check_op).contracts["linear in the upstream gradient"]
    assert said == "the gradient of x hides a NaN of the upstream gradient"
    assert check_op(operation(lambda x: np.maximum(x, 0), lambda x, dy: np.where(x > 0, dy, 0)), X)


IMAGES = np.random.default_rng(2).normal(size=(2, 3, 4, 5))


@pytest.mark.parametrize("x, wrong_where", [
    (X, lambda x, dy: dy.size > 1 and 0 in dy.strides),
    (X, lambda x, dy: x.strides[0] > x.shape[1] * x.strides[1] > 0),
    (X, lambda x, dy: dy.strides[0] < 0),
    (X, lambda x, dy: x.strides[0] < 0),
    (IMAGES, lambda x, dy: x.strides[0] > x.strides[2] > x.strides[3] > x.strides[1]),
    (IMAGES, lambda x, dy: x.strides[1] > x.strides[2] > x.strides[3] > x.strides[0]),
], ids=["repeated", "padded", "upside down", "inputs upside down", "channels last", "batch last"])  # fmt: skip
def test_layouts(x, wrong_where):
    """The gradient is wrong for one layout only. (A padded array is one whose rows lie further apart than strided.)"""
    report = report_on(squared(wrong_where), x, check_op, max_entries=0, directions=1)
    assert broken(report) == ["any layout"], str(report)


@pytest.mark.parametrize("keep", [lambda x: x, lambda x: x.copy()])
def test_state_from_the_first_call(keep):
    """Arrays that a cache keeps by shape are right as long as all calls are near the first one."""
    kept = {}

    def forward(x):
        kept.setdefault((x.shape, x.dtype), keep(x))
        return x**3

    cubed = operation(forward, lambda x, dy: 3 * kept[x.shape, x.dtype] ** 2 * dy)
    assert "another point" in broken(report_on(cubed, X, check_op))
    assert gradcheck(cubed, X)


def test_another_point_that_fn_does_not_have():
    """Numbers that must be sorted are not, in reverse order."""

    def root(x):
        if np.any(np.diff(x.numpy()) < 0):
            raise ValueError("expected sorted numbers")
        return x * x

    assert check_op(root, np.array([1.0, 2, 3]))


def test_an_edge_nearer_than_the_trials_of_its_terms():
    """The numbers change by small shares of themselves, to show what was added up; not across the edge."""

    def logit(p):
        if np.any(p >= 1):
            raise ValueError("expected p below 1")
        return np.log(p / (1 - p))

    assert check_op(operation(logit, lambda p, dy: dy / (p * (1 - p))), np.array([0.2, 0.5, 1 - 1e-7]))


def test_another_point_with_kinks_alone():
    assert check_op(lambda x: F.relu(x), np.zeros((4, 5)), max_kinks=1)


def test_a_batch_of_one():
    wrong = squared(lambda x, dy: len(x) == 1)
    assert broken(report_on(wrong, X, check_op, batch=(0,))) == ["batch of one"]
    failing = operation(lambda x: x * x, lambda x, dy: np.squeeze(2 * x) * np.squeeze(dy))
    said = report_on(failing, X, check_op, batch=(0,)).contracts["batch of one"]
    assert said.startswith("it raises ValueError: ")
    assert "batch of one" not in check_op(square, X).contracts


def test_inputs_without_axes():
    assert check_op(lambda a, b: a * b, (np.array(2.0), np.array(-3.0)))


def product(wrong_where=lambda needs: False):
    """a b c, with a wrong gradient of the first input that is asked for where `wrong_where` says so."""

    class Product(Function):
        @staticmethod
        def forward(ctx, a, b, c):
            ctx.save_for_backward(a, b, c)
            return a * b * c

        @staticmethod
        def backward(ctx, dy):
            a, b, c = ctx.saved
            factor = 0 if wrong_where(ctx.needs_input_grad) else 1
            return dy * b * c * factor, dy * a * c, dy * a * b

    return Product.apply


@pytest.mark.parametrize("needs, said", [
    ((True, False, False), "the gradient of a, asked for alone, differs by 1.0e+00"),
    ((True, False, True), "the gradient of a, asked for with that of c, differs by 1.0e+00"),
])  # fmt: skip
def test_each_gradient_alone_and_in_pairs(needs, said):
    fn = product(lambda asked: asked == needs)
    report = report_on(fn, (X, X, X), check_op)
    assert report.contracts["each gradient alone"] == said and broken(report) == ["each gradient alone"]
    assert check_op(product(), (X, X, X))


def test_each_three_of_four_gradients():
    class Product(Function):
        @staticmethod
        def forward(ctx, *factors):
            ctx.save_for_backward(*factors)
            return np.prod(factors, axis=0)

        @staticmethod
        def backward(ctx, dy):
            wrong = ctx.needs_input_grad == (True, True, False, True)
            return tuple(
                dy * np.prod([x for i, x in enumerate(ctx.saved) if i != k], axis=0) * (0 if wrong and k == 1 else 1)
                for k in range(4)
            )

    report = report_on(lambda a, b, c, d: Product.apply(a, b, c, d), (X, X, X, X), check_op)
    said = "the gradient of b, asked for with that of a and that of d, differs by 1.0e+00"
    assert report.contracts["each gradient alone"] == said and broken(report) == ["each gradient alone"]


def test_weights_get_nothing_from_an_empty_batch():
    class Sum(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x)
            return x * w

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved
            return None, (dy * x).sum(axis=0) + (len(x) == 0)

    report = report_on(Sum.apply, (Tensor(np.ones((2, 3))), np.ones(3)), check_op, batch=(0,))
    assert report.contracts["empty batch"] == "the gradient of w is not zero"


def no_slopes(fn, inputs, **options):
    """The report on the contracts: the slopes move along one direction only, which takes no time."""
    return report_on(fn, inputs, check_op, max_entries=0, directions=1, **options)


@pytest.mark.parametrize("seed", range(5))
def test_results_that_cancel(seed):
    """They are judged against the size of what was added up: no order of additions is wrong."""
    x = np.random.default_rng(seed).normal(size=(20, 20))
    centred = x - x.mean()
    for fn in (lambda x: x.mean(), lambda x: x.sum(0), lambda x: (x - x.mean()).sum(), lambda x: x.mean() * 1e6):
        assert not broken(no_slopes(fn, centred))


def test_a_layout_mistake_shows_where_the_result_cancels():
    centred = X - X.mean()
    wrong = operation(lambda x: x.ravel(order="K").cumsum().reshape(x.shape), lambda x, dy: dy)
    assert "any layout" in broken(no_slopes(wrong, centred))


def test_float32_reaches_less_far():
    """What float32 cannot hold is infinite in it; what rounding alone spoils is not told as a fault."""
    x = np.array([1.0, 100.0, -3.0])
    assert not broken(no_slopes(lambda x: x.exp(), x))
    assert not broken(no_slopes(lambda x: (x * 1e5).sin(), X))
    assert not broken(no_slopes(lambda x: (x + 1e8) - 1e8, X, rtol=1e-4))


@pytest.mark.parametrize("seed", range(3))
def test_gradients_that_vanish_where_a_function_is_flat(seed):
    """Softmax of large scores: p (dp - Σ p dp) cancels to 1e-10 and less, and is rounded as dp is."""
    scores = 100 * np.random.default_rng(seed).normal(size=(4, 5))
    for fn in (lambda x: F.softmax(x, 1), lambda x: (F.softmax(x, 1) ** 2).sum(), lambda x: F.tanh(3 * x)):
        assert not broken(no_slopes(fn, scores))


GELU = np.sqrt(2 / np.pi)
TARGET = np.random.default_rng(1).normal(size=(4, 5))


def test_float32_with_a_numpy_scalar():
    gelu = operation(
        lambda x: 0.5 * x * (1 + np.tanh(GELU * x)),
        lambda x, dy: dy * (0.5 * (1 + np.tanh(GELU * x)) + 0.5 * x * GELU * (1 - np.tanh(GELU * x) ** 2)),
    )
    report = report_on(gelu, X, check_op)
    line = "`lambda x: 0.5 * x * (1 + np.tanh(GELU * x)),`"
    assert report.contracts["float32"].startswith("the result for float32 inputs is float64; line ")
    cause = f"{line}: 0.797885 is a NumPy scalar of float64; write float(...) around it"
    assert report.contracts["float32"].endswith(cause)
    assert check_op(gelu, X, contracts=[name for name in CONTRACTS if name != "float32"])


def test_float32_with_an_array_made_without_a_dtype():
    made = operation(lambda x: x + np.ones(5), lambda x, dy: dy)
    said = report_on(made, X, check_op).contracts["float32"]
    assert said.endswith("an array of shape (5,) is float64; make it with the dtype of the input")
    masked = operation(lambda x: np.maximum(x, 0), lambda x, dy: (x > 0) * 1.0 * dy)
    said = report_on(masked, X, check_op).contracts["float32"]
    assert said.endswith("NumPy gives float64 for bool and a plain float")


@pytest.mark.parametrize("fn", [
    lambda x: F.mse_loss(x, Tensor(TARGET)),
    operation(lambda x: (x - TARGET) ** 2, lambda x, dy: 2 * (x - TARGET) * dy),
])  # fmt: skip
def test_float32_cannot_be_asked_where_fn_holds_float64(fn):
    report = check_op(fn, X)
    assert "float32" not in report.contracts
    said = "fn holds the float64 array TARGET; pass it as an input, which is converted like the others"
    assert report.notes == [f"the contract 'float32' was not checked: {said}"]
    assert f"note: {report.notes[0]}" in str(report)


def test_contracts_can_be_chosen():
    assert list(check_op(square, X, contracts=("float32", "any layout")).contracts) == ["float32", "any layout"]
    assert check_op(square, X, contracts=()).contracts == {}


@pytest.mark.parametrize("options, error, message", [
    ({"contracts": ("any layuot",)}, ValueError,
     f"check_op: expected a contract among {', '.join(CONTRACTS)}; got 'any layuot'; did you mean any layout?"),
    ({"linear": (1,)}, ValueError, "check_op: expected linear among the positions 0 (x); got 1"),
    ({"batch": (3,)}, ValueError, "check_op: expected batch among the positions 0 (x); got 3"),
    ({"esp": 1e-3}, TypeError,
     "check_op: expected an option among eps, atol, rtol, seed, max_entries, directions, max_kinks, max_unseen, curve; "
     "got 'esp'; did you mean eps?"),
])  # fmt: skip
def test_arguments_in_the_librarys_words(options, error, message):
    with pytest.raises(error) as caught:
        check_op(square, X, **options)
    assert str(caught.value) == message


def test_an_input_to_which_no_gradient_comes():
    report = report_on(lambda x, unused: x * x, (X, X))
    said = "no gradient comes to unused: does fn use it? If it needs none, pass Tensor(unused), which is a constant"
    assert report.faults == [said]
    assert gradcheck(lambda x, unused: x * x, (X, Tensor(X)))
    assert gradcheck(lambda x, y: x - x + 0.0 * y, (X, X), atol=1e-9), "the gradients are zero, and they come"
