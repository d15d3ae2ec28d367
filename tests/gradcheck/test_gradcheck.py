"""The gradient checker: what it accepts, what it refuses, and what it says."""

import inspect
import json
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npstn
import npstn.functional as F
from npstn import catalogue
from npstn.autograd import Context, Function, Tensor
from npstn.gradcheck import GradcheckError, check_op, gradcheck
from npstn.gradcheck.plot import plot

SAMPLES = catalogue.samples()
OPERATIONS = list(dict.fromkeys(sample.operation for sample in SAMPLES))


def operation(f, df, name="own"):
    """y = f(x), element by element, with the backward dy df(x)."""

    class Own(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return f(x)

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved
            return df(x, dy)

    Own.name = name
    return Own.apply


square = operation(lambda x: x * x, lambda x, dy: 2 * x * dy)
absolute = operation(abs, lambda x, dy: np.sign(x) * dy)


pytestmark = pytest.mark.usefixtures("one_thread")


def report_on(fn, inputs, check=gradcheck, **options):
    return check(fn, inputs, raise_exception=False, **options)


# --- the library


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_of_the_library(name):
    """At the tolerances that are promised, with one seed and no retry."""
    for sample in SAMPLES:
        if sample.operation == name:
            assert sample.rtol <= (1e-8 if name in ("log_softmax", "cross_entropy", "stn") else 1e-9)
            report = sample.check()
            assert report, str(report)


def test_the_catalogue_is_complete(monkeypatch):
    """Each class of operation in npstn.ops runs in some sample, and each public function has one of its name."""
    seen = set()
    init = Context.__init__

    def spy(self, function, inputs):
        seen.add(function)
        init(self, function, inputs)

    monkeypatch.setattr(Context, "__init__", spy)
    for sample in SAMPLES:
        sample.fn(*(Tensor(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in sample.inputs))
    assert {
        f for f in subclasses(Function) if f.__module__.startswith("npstn.ops.") and f.forward is not Function.forward
    } == seen
    assert set(F.__all__) <= set(OPERATIONS)
    assert {operation.__name__ for operation in npstn._OPERATORS.values()} - {"<lambda>"} <= set(OPERATIONS)


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_some_samples_lie_on_kinks():
    kinked = {sample.operation for sample in SAMPLES if sample.operation != "stn" and sample.check().kinks}
    assert kinked == {"relu", "max_pool2d", "grid_sample"}


# --- slopes


@given(st.floats(-3, 3), st.floats(0.1, 30), st.integers(-8, 8))
def test_smooth_functions_of_any_scale(x, frequency, exponent):
    """sin(frequency x), with x and y in units from 1e-8 to 1e8; and a slope that is off by a millionth."""
    unit = 10.0**exponent
    xs = unit * np.array([x, x + 1, 1.0])

    def f(x):
        return unit * np.sin(frequency * x / unit)

    def df(x, dy):
        return frequency * np.cos(frequency * x / unit) * dy

    assert gradcheck(operation(f, df), xs)
    assert not report_on(operation(f, lambda x, dy: (1 + 1e-6) * df(x, dy)), xs)


def test_the_step_is_the_one_represented():
    """At 1e8 a relative step of 1e-9 is 0.1 give or take 1e-8: taken for 0.1, it would spoil the eighth digit."""
    assert gradcheck(operation(lambda x: 3 * x, lambda x, dy: 3 * dy), 1e8 + np.arange(3.0) / 7, eps=1e-9, rtol=1e-11)


def test_small_entries_among_large_ones():
    x = np.array([1e-2, 1.0, 1e2])
    assert gradcheck(operation(np.log, lambda x, dy: dy / x), x)


@pytest.mark.parametrize("x", [np.zeros(3), np.array(2.0), np.ones((1, 1, 1))])
def test_shapes_and_zeros(x):
    assert gradcheck(square, x)


# --- kinks


def test_a_kink_is_not_a_wrong_gradient():
    report = gradcheck(absolute, np.array([[1.0, 0.0, -2.0]]), max_kinks=0.5)
    assert report.kinks == ["d <v, output> / d x[0, 1]"]
    assert "kink: d <v, output> / d x[0, 1]" in str(report)


@pytest.mark.parametrize("slope", [-1.0, -0.3, 1.0])
def test_any_slope_between_the_two(slope):
    assert gradcheck(
        operation(abs, lambda x, dy: np.where(x == 0, slope, np.sign(x)) * dy), np.array([0.0, 1]), max_kinks=0.5
    )


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("slope", [-1.001, 1 + 1e-6, 2.0, np.nan, np.inf])
def test_no_other_slope(slope):
    wrong = operation(abs, lambda x, dy: np.where(x == 0, slope, np.sign(x)) * np.where(dy == 0, 0.0, dy))
    report = report_on(wrong, np.array([0.0, 1]), max_kinks=0.5)
    assert "in 1 of 2 entries, at [0]" in report.faults[0]
    assert report.worst.kink and (report.worst.left, report.worst.right) == (-1, 1)


@pytest.mark.parametrize("distance", [1e-5, 1e-4, 9e-4])
def test_a_kink_nearby_is_avoided(distance):
    """Within reach of the largest step, but not of a smaller one: full digits are demanded again."""
    xs = np.array([distance, -distance, 1])
    assert not gradcheck(absolute, xs, rtol=1e-9).kinks
    assert not report_on(operation(abs, lambda x, dy: (1 - 1e-6) * np.sign(x) * dy), xs)


def test_a_small_kink_beside_curvature():
    """x^2 + 1e-6 |x - 1|: the step of 1e-3 sees 2e-3 of curvature, and 2e-6 of kink."""

    def f(x):
        return x * x + 1e-6 * abs(x - 1)

    right = operation(f, lambda x, dy: (2 * x + 1e-6 * np.sign(x - 1)) * dy)
    assert len(gradcheck(right, np.array([1.0, 3]), max_kinks=0.5).kinks) == 1
    wrong = operation(f, lambda x, dy: (2 * x + 2e-6 * (x >= 1)) * dy)
    assert not report_on(wrong, np.array([1.0, 3]), max_kinks=0.5)


def test_each_output_has_its_own_kinks():
    """|x| twice, with weights of two signs: the slope of one output must not hide in the width of another's kink."""
    fan = operation(lambda x: abs(x) * np.array([[1.0], [100.0], [0.0]]) + np.array([[0.0], [0.0], [1.0]]) * x,
                    lambda x, dy: (dy[0] + 100 * dy[1]) * 0.5 + dy[2])  # fmt: skip
    assert gradcheck(fan, np.zeros(1), max_kinks=1)


def test_too_many_kinks_prove_nothing():
    report = report_on(F.relu, np.zeros(20))
    assert report.faults == [
        "20 of 20 slopes along input have a kink, more than the 10% that may: choose inputs away from them"
    ]


def test_a_tie_counted_twice():
    """Wrong for the two together, though within bounds for each alone."""

    def both(x, dy):
        return dy * (x == x.max())

    maximum = operation(lambda x: np.asarray(x.max()), both)
    assert gradcheck(maximum, np.array([1.0, 3, 2]))
    report = report_on(maximum, np.array([3.0, 1, 3, 0]), max_kinks=0.5)
    assert "though along none of its entries alone" in report.faults[0]


def test_a_jump_is_no_kink():
    report = report_on(operation(lambda x: (x > 0) * 1.0, lambda x, dy: 0 * dy), np.array([0.0, 1, 2]))
    assert "at [0]" in report.faults[0] and report.worst.right > 1e5


# --- what must never pass


@pytest.mark.parametrize("x", [np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.array([-1.0, 1])])
def test_nan_never_passes(x):
    with np.errstate(all="ignore"):
        assert not report_on(operation(np.sqrt, lambda x, dy: dy / (2 * np.sqrt(x))), x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_in_the_gradient_never_passes(value):
    assert not report_on(operation(lambda x: 1 * x, lambda x, dy: np.where(x == 2, value, dy)), np.array([1.0, 2, 3]))


def test_noise_is_seen():
    single = operation(lambda x: np.sin(x.astype(np.float32)).astype(x.dtype), lambda x, dy: np.cos(x) * dy)
    assert not report_on(single, np.linspace(0.5, 1, 8))
    rng = np.random.default_rng(0)
    drowned = report_on(operation(lambda x: x + rng.normal(size=x.shape), lambda x, dy: dy), np.ones(4))
    assert any("drown in a noise" in fault for fault in drowned.faults)


def test_a_gradient_that_is_not_given():
    class Half(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, dy):
            return None, None

    assert not report_on(Half.apply, (np.ones(2), np.ones(2)))


@pytest.mark.parametrize("wrong", [lambda x, dy: dy[:1], lambda x, dy: dy.astype(np.float32), lambda x, dy: dy[0, 0]])
def test_a_gradient_of_another_shape_or_dtype(wrong):
    report = report_on(operation(lambda x: 1 * x, wrong), np.ones(3))
    assert report.faults[0].startswith("raises")


def test_nothing_to_check():
    assert not report_on(square, np.ones((0, 3)))


# --- many entries


def test_large_inputs_along_directions():
    x = np.random.default_rng(0).normal(size=(40, 50))
    report = gradcheck(square, x)
    assert report.entries == 16 and report.worst.index is None


def test_the_one_wrong_entry_of_many_is_named():
    def one_off(x, dy):
        dx = 2 * x * dy
        dx[17, 23] *= 1.001
        return dx

    report = report_on(operation(lambda x: x * x, one_off), np.random.default_rng(0).normal(size=(40, 50)))
    assert "along 16 of 16 directions" in report.faults[0]
    assert report.worst.name == "d output[17, 23] / d x[17, 23]"


# --- the report


def test_the_report_names_everything():
    def wrong(x, dy):
        dx = 2 * x * dy
        dx[1] *= -1
        return dx

    with pytest.raises(GradcheckError) as caught:
        gradcheck(operation(lambda x: x * x, wrong, "my_square"), np.array([[1.0, 2], [3, 4], [5, 6]]), seed=7)
    assert isinstance(caught.value, AssertionError)
    report = report_on(operation(lambda x: x * x, wrong, "my_square"), np.array([[1.0, 2], [3, 4], [5, 6]]), seed=7)
    assert not report and str(caught.value) == str(report)
    lines = str(report).splitlines()
    assert (
        lines[0]
        == "my_square: the gradient of x is wrong in 2 of 6 entries, at [1, :], -1 times what it should be; worst,"
    )
    assert lines[1] in ("  d output[1, 0] / d x[1, 0]", "  d output[1, 1] / d x[1, 1]")
    worst = report.worst
    assert worst.analytic == pytest.approx(-worst.numeric)
    assert worst.left == pytest.approx(worst.right, rel=1e-5) == pytest.approx(worst.numeric, rel=1e-5)
    assert lines[2].split() == ["analytic", f"{worst.analytic:.10g}"]
    assert "noise floor" in str(report) and lines[-1] == "seed 7, rtol 1e-08"


def test_a_good_report():
    report = gradcheck(F.linear, (np.ones((2, 3)), np.arange(12.0).reshape(4, 3) / 7), name="my layer")
    assert report and report.name == "my layer" and report.entries == 20
    assert [g.name for g in report.gradients] == ["input", "weight"]
    assert str(report).startswith(
        "my layer: all is well in 20 slopes, of which 0 have a kink; the worst is\n  d <v, output> / d "
    )
    json.dumps(report.as_dict())


def test_the_same_seed_repeats_it():
    x = np.random.default_rng(0).normal(size=(40, 50))
    one, two, other = (report_on(F.tanh, x, seed=seed).worst for seed in (3, 3, 4))
    assert one == two != other


def test_constants_and_other_arguments():
    """Tensors that need no gradient, labels and options are handed on; names come from the function."""
    weight = Tensor(np.ones((2, 3)))
    report = gradcheck(F.linear, (np.ones((1, 3)), weight))
    assert [g.name for g in report.gradients] == ["input"]
    assert gradcheck(F.cross_entropy, (np.eye(3), np.array([0, 2, 1])))
    assert gradcheck(lambda x, dim: F.log_softmax(x, dim), (np.eye(3), 1))
    assert gradcheck(lambda *xs: xs[0] * xs[1], (np.ones(2), np.ones(2))).gradients[1].name == "xs[1]"


@pytest.mark.parametrize("inputs, message", [
    (np.ones(3, np.float32), "gradcheck: expected x of float64, got float32"),
    (np.arange(3), "gradcheck: expected a float64 array, or a Tensor that requires grad, among the inputs"),
    (Tensor(np.ones(3)), "gradcheck: expected a float64 array, or a Tensor that requires grad, among the inputs"),
])  # fmt: skip
def test_inputs_that_cannot_be_checked(inputs, message):
    with pytest.raises(TypeError) as caught:
        gradcheck(square, inputs)
    assert str(caught.value) == message


def test_what_fn_raises_itself_is_not_swallowed():
    with pytest.raises(ValueError, match="linear: expected input"):
        gradcheck(F.linear, (np.ones((2, 3)), np.ones((4, 2))))
    with pytest.raises(TypeError, match="to give a Tensor, got ndarray"):
        gradcheck(lambda x: x.data, np.ones(3))


def test_arguments_are_named_as_in_pytorch(torch):
    from torch.autograd.gradcheck import gradcheck as theirs

    shared = {"inputs", "eps", "atol", "rtol", "raise_exception"}
    assert shared <= set(inspect.signature(theirs).parameters) & set(inspect.signature(gradcheck).parameters)


def test_the_curve_is_a_v():
    report = gradcheck(F.tanh, np.array([0.3, 0.7]), curve=True)
    curve = report.gradients[0].curve
    lowest = np.argmin(curve.extrapolated)
    assert curve.extrapolated[lowest] < 1e-11 and 0 < lowest < len(curve.steps) - 1
    assert curve.extrapolated[0] > 1e-4 and curve.extrapolated[-1] > 1e-4
    assert min(curve.central) > curve.extrapolated[lowest]
    assert gradcheck(F.tanh, np.ones(2)).gradients[0].curve is None
    assert isinstance(plot([report]), matplotlib.figure.Figure)


# --- as a new user would


def test_the_example_of_the_document(monkeypatch):
    """The code in docs/gradcheck.md says what the document says it says."""
    monkeypatch.setattr(npstn, "check_op", check_op, raising=False)
    page = (Path(__file__).parent.parent / "docs" / "gradcheck.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    said = textwrap.dedent(page.split("and says\n\n")[1].split("\n\n")[0])
    with pytest.raises(GradcheckError) as caught:
        exec(code, {})
    assert str(caught.value) == said


def test_a_forgotten_term():
    """Layer normalisation without the term that comes from the variance: no constant factor, and every entry wrong."""

    class LayerNorm(Function):
        @staticmethod
        def forward(ctx, x, gain):
            rstd = 1 / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
            normed = (x - x.mean(axis=1, keepdims=True)) * rstd
            ctx.save_for_backward(normed, rstd, gain)
            return normed * gain

        @staticmethod
        def backward(ctx, dy):
            normed, rstd, gain = ctx.saved
            dn = dy * gain
            return rstd * (dn - dn.mean(axis=1, keepdims=True)), (dy * normed).sum(axis=0)

    report = report_on(LayerNorm.apply, tuple(np.random.default_rng(1).normal(size=shape) for shape in ((3, 4), 4)))
    assert len(report.faults) == 1, "gain's gradient is right"
    assert "layer_norm" == report.name and "the gradient of x is wrong in 12 of 12 entries; worst" in report.faults[0]


# --- contracts


class Spoiled(Function):
    """y = 2 x for a batch of rows, that breaks the contract it is told to."""

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
        return 2 * dy, None


@pytest.mark.parametrize("how, contract", [
    ("forward writes", "changes no array"),
    ("writes what it saved", "changes no array"),
    ("writes upstream", "changes no array"),
    ("never twice the same", "same again"),
    ("a constant", "linear in the upstream gradient"),
    ("order of memory", "any layout"),
    ("float64 out", "float32"),
    ("rough in float32", "float32"),
    ("batch of one at least", "empty batch"),
    ("all is well", None),
])  # fmt: skip
def test_contracts(how, contract):
    x = np.arange(1.0, 13).reshape(4, 3) / 7
    report = report_on(Spoiled.apply, (x, how), check_op, batch=(0,))
    broken = [name for name, what in report.contracts.items() if what]
    assert (contract in broken and not report) if contract else (not broken and report), str(report)
    assert list(report.contracts) == [
        "changes no array",
        "same again",
        "linear in the upstream gradient",
        "each gradient alone",
        "any layout",
        "float32",
        "empty batch",
    ]


def test_each_gradient_alone():
    class Product(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, dy):
            a, b = ctx.saved
            return dy * b, dy * a if all(ctx.needs_input_grad) else 0 * dy

    report = report_on(Product.apply, (np.ones(2), np.ones(2)), check_op)
    assert [name for name, what in report.contracts.items() if what] == ["each gradient alone"]


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


def test_the_adjoint():
    x, weight = np.random.default_rng(0).normal(size=(2, 3, 4))
    report = check_op(lambda x: x * 3.0 + 1.0, x, linear=(0,))
    assert report.adjoints["x"] <= 1e-12
    report = report_on(square, x, check_op, linear=(0,))
    assert "backward is not the adjoint: <A x, y> and <x, A^T y> are" in report.faults[-1]


# --- the command


def test_run_prints_a_row_for_each_operation(capsys):
    assert catalogue.run(["relu", "conv2d"]) == 0
    header, relu, conv2d, _, summary = capsys.readouterr().out.splitlines()
    assert header.split() == "operation slopes kinks worst error adjoint error contracts verdict seconds".split()
    assert relu.split()[0] == "relu" and relu.split()[2] == "1" and "ok" in relu
    assert conv2d.split()[0] == "conv2d" and "ok" in conv2d
    assert summary.startswith("none of 2 operations failed, in ")


def test_run_tells_of_failures(capsys, monkeypatch):
    monkeypatch.setattr(npstn.ops.activation.Relu, "backward", staticmethod(lambda ctx, dy: 2 * dy))
    assert catalogue.run(["exp", "relu"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out and "relu: the gradient of input is wrong" in out and "1 of 2 operations failed" in out
    assert catalogue.run(["relu"], as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_run_gives_json(capsys):
    assert catalogue.run(["relu"], as_json=True) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is True and [report["ok"] for report in result["operations"]["relu"]] == [True, True]


def test_run_draws(tmp_path, capsys):
    assert catalogue.run(["sin", "relu"], plot_dir=tmp_path / "new") == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["relu.png", "sin.png"]


def test_run_knows_its_operations():
    with pytest.raises(ValueError, match="expected operations among add, sub, .*; got 'conv3d'"):
        catalogue.run(["conv3d"])
