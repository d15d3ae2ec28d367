"""Mistakes planted in copies of the library's backward passes, which the gradient checker must find.

    python -m tests.mistakes              writes the table and the picture of docs/gradcheck.md anew
    python -m tests.mistakes --peers      writes its table of other projects' checkers anew: see tests/peers/table.py

A mistake replaces a piece of a function's source by another. The copy of the function replaces the original while the
samples of the operation are checked. Two customary checks, written out here, judge the same copies on the same inputs.
"""

import ast
import contextlib
import functools
import importlib.util
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
from matplotlib.figure import Figure

import npstn
from npstn.backend import lanes
from npstn.figures.error_curves import draw
from npstn.gradcheck.samples import samples
from npstn.gradcheck.subject import Subject

SAMPLES = samples()
DOCUMENT = Path(__file__).parent.parent / "docs" / "gradcheck.md"
MARK = "<!-- from here: python -m tests.mistakes -->", "<!-- to here -->"


class Mistake(NamedTuple):
    where: str  # a module of npstn.ops, and a function or class.method in it
    what: str
    right: str
    wrong: str
    operations: str = ""  # the operations whose samples show it, if their name is not the module's

    @property
    def samples(self):
        names = self.operations.split() or [self.where.split(":")[0].removesuffix("_fast")]
        found = [sample for sample in SAMPLES if sample.operation in names]
        assert found, f"no samples of {names}"
        return found


_EVERY_TIED_PIXEL = """U, dU = ctx.sources[0].data, max_pool2d_fast.backward(dV, A, ctx.shape_of_U, ctx.padding)
        for b, c in np.ndindex(U.shape[:2]):
            for p in np.flatnonzero(dU[b, c]):
                dU[b, c][U[b, c] == U[b, c].flat[p]] = dU[b, c].flat[p]
        return dU,"""

MISTAKES = [
    # arithmetic, elementary functions, shapes
    Mistake("arithmetic:unbroadcast", "mean over the broadcast axis for the sum",
            "total(dy, repeated)", "dy.mean(axis=repeated)", "add sub mul div"),
    Mistake("arithmetic:Sub.backward", "the sign of the second operand",
            "unbroadcast(-dy", "unbroadcast(dy", "sub"),
    Mistake("arithmetic:Mul.backward", "a factor of 2",
            "dy * b", "2 * dy * b", "mul"),
    Mistake("arithmetic:Mul.backward", "operands exchanged",
            "dy * b", "dy * a", "mul"),
    Mistake("arithmetic:Div.backward", "an epsilon of 1e-7 in the divisor",
            "dy / b", "dy / (b + 1e-7)", "div"),
    Mistake("arithmetic:Pow.backward", "exponent not lowered by one",
            "a ** (b - 1)", "a ** b", "pow"),
    Mistake("arithmetic:Matmul.backward", "the transpose of the wrong axes, by a reshape",
            "np.swapaxes(a, -1, -2)", "a.reshape(*a.shape[:-2], a.shape[-1], a.shape[-2])", "matmul"),
    Mistake("elementary:Exp.gradient", "writes into its own result",
            "return dy * y", "return np.multiply(dy, y, out=y)", "exp"),
    Mistake("elementary:Sqrt.gradient", "an epsilon of 1e-8 in the divisor",
            "(2 * y)", "(2 * y + 1e-8)", "sqrt"),
    Mistake("elementary:Sin.gradient", "the slope in float32",
            "np.cos(x)", "np.cos(x.astype(np.float32))", "sin"),
    Mistake("elementary:Cos.gradient", "the sign",
            "-dy", "dy", "cos"),
    Mistake("shaping:Index.backward", "a race: elements taken twice get one of their gradients",
            "np.add.at(dx, ctx.index, dy)", "dx[ctx.index] += dy", "index"),
    Mistake("shaping:Reshape.backward", "the order of columns for that of rows",
            "dy.reshape(ctx.shape_of_x)", "dy.reshape(ctx.shape_of_x, order='F')", "reshape"),
    Mistake("shaping:Transpose.backward", "the transpose forgotten, the numbers only brought into shape",
            "np.swapaxes(dy, *ctx.dims)",
            "dy.reshape(np.swapaxes(dy, *ctx.dims).shape)", "transpose"),
    Mistake("joining:Cat.backward", "each part taken from the start of the upstream gradient",
            "np.split(dy, np.cumsum(ctx.lengths)[:-1], axis=ctx.dim)",
            "[dy.take(range(n), axis=ctx.dim) for n in ctx.lengths]", "cat"),
    Mistake("joining:Stack.backward", "the tensors in reverse order",
            "np.moveaxis(dy, ctx.dim, 0)", "np.moveaxis(dy, ctx.dim, 0)[::-1]", "stack"),
    Mistake("maximum:MaxOfAll.backward", "not divided among equal ones",
            "dy / dy.dtype.type(np.count_nonzero(largest))", "dy", "max"),
    Mistake("maximum:MaxAlongAxis.backward", "the first element gets it, not the largest",
            "np.put_along_axis(dx, indices, dy, ctx.dim)", "np.put_along_axis(dx, indices * 0, dy, ctx.dim)", "max"),
    Mistake("clamp:Abs.gradient", "the sign",
            "dy * np.sign(x)", "dy", "abs"),
    Mistake("clamp:Clamp.backward", "the gradient goes on where the clamp holds",
            "np.where(inside, dy, dy.dtype.type(0))", "dy.copy()", "clamp"),
    Mistake("shaping:Sum.backward", "a hundred-thousandth too little",
            "dy.reshape(ctx.kept_shape)", "0.99999 * dy.reshape(ctx.kept_shape)", "sum mean"),
    # activations
    Mistake("elementwise:Elementwise.backward", "the upstream gradient left out",
            "function.gradient(dy, kept)", "function.gradient(np.ones_like(dy), kept)", "relu tanh sin"),
    Mistake("activation:Relu.gradient", "returns the upstream array, changed",
            "dy * ~(y <= 0)", "np.multiply(dy, y > 0, out=dy)", "relu"),
    Mistake("activation:Relu.gradient", "a leak of a millionth",
            "dy * ~(y <= 0)", "np.where(y <= 0, 1e-6 * dy, dy)", "relu"),
    Mistake("activation:Tanh.gradient", "the derivative at y, not at x",
            "y * y", "np.tanh(y) ** 2", "tanh"),
    Mistake("activation:Sigmoid.gradient", "a float32 constant",
            "(1 - y)", "(np.float32(1.0000001) - y)", "sigmoid"),
    # layers
    Mistake("linear:Linear.backward", "the bias' mean over the batch for its sum",
            "total(dy, axis=0)", "dy.mean(axis=0)"),
    Mistake("linear_fast:backward", "the last sample left out",
            "product(contiguous(dy.T), x,", "product(contiguous(dy[:-1].T), x[:-1],", "linear"),
    Mistake("phases:put_together", "row and column exchanged in the strides",
            "transpose(0, 1, 4, 2, 5, 3)", "transpose(0, 1, 4, 3, 5, 2)", "conv2d"),
    Mistake("conv2d_fast:gather", "a race: where windows overlap the last one wins",
            "plus(short_lanes(dstacked, start + p), short_lanes(dR, line + p))", "short_lanes(dR, line + p)"),
    Mistake("conv2d_fast:backward", "the first run of samples not added up",
            "parts.sum(", "parts[1:].sum("),
    Mistake("conv2d_fast:add_dot_products", "the filters left out that remain after the fours",
            "range(0, O, 4)", "range(0, O - O % 4, 4)"),
    Mistake("phases:put_together", "the padding cut off one column early",
            "padding[1] :]", "max(padding[1] - 1, 0) :]", "conv2d"),
    Mistake("conv2d_fast:backward", "asked for without the weight, the bias gets zeros",
            "dF[:O, C * K * L].astype(F.dtype)", "(dF[:O, C * K * L] * need_weight).astype(F.dtype)"),
    Mistake("conv2d:Conv2d.backward", "the upstream gradient read in the order of memory",
            "contiguous(dV)", "dV.ravel(order='K').reshape(dV.shape)"),
    Mistake("max_pool2d_fast:max_pool2d_fast_backward", "off by one",
            "A_b[p]", "int(A_b[p]) - 1"),
    Mistake("max_pool2d_fast:max_pool2d_fast_backward", "a race: where windows overlap the last one wins",
            "] += dV", "] = dV"),
    Mistake("max_pool2d:MaxPool2d.backward", "a tie counted for each of its pixels",
            "return max_pool2d_fast.backward(dV, A, ctx.shape_of_U, ctx.padding),", _EVERY_TIED_PIXEL),
    Mistake("avg_pool2d:avg_pool2d_backward", "the last column left out",
            "min(left + L, W)", "min(left + L, W - 1)"),
    Mistake("avg_pool2d:avg_pool2d_backward", "divided by the pixels inside only, unlike forward",
            "(K * L)", "((min(top + K, H) - max(top, 0)) * (min(left + L, W) - max(left, 0)))"),
    Mistake("dropout:Dropout.backward", "the factor 1 / (1 - p) dropped",
            "dV * R", "dV * (R > 0)", "dropout dropout2d"),
    Mistake("dropout:Dropout.backward", "draws again",
            "dV * R", "dV * generator().permutation(R)", "dropout dropout2d"),
    Mistake("dropout:Dropout.backward", "upstream rounded to float32",
            "dV * R", "(dV * R).astype(np.float32).astype(dV.dtype)", "dropout"),
    # losses
    Mistake("log_softmax:LogSoftmax.backward", "right for a cotangent that adds up to 1 only",
            "np.exp(y) * total(dy, ctx.dim, keepdims=True)", "np.exp(y)"),
    Mistake("log_softmax:LogSoftmax.backward", "adds up along the last axis always",
            "total(dy, ctx.dim", "total(dy, -1"),
    Mistake("softmax:Softmax.backward", "the derivative of each score alone, p (1 - p)",
            "p * (dp - total(p * dp, ctx.dim, keepdims=True))", "p * (1 - p) * dp"),
    Mistake("softmax:Softmax.backward", "the probabilities missing in the sum",
            "total(p * dp, ctx.dim", "dp.mean(ctx.dim"),
    Mistake("mse_loss:MseLoss.backward", "the factor of 2",
            "dloss * 2", "dloss"),
    Mistake("mse_loss:MseLoss.backward", "the target's sign",
            "-dx if need_t", "dx if need_t"),
    Mistake("nll_loss:NllLoss.backward", "the number of classes for that of samples",
            "max(B, 1)", "max(K, 1)"),
    Mistake("nll_loss:NllLoss.backward", "the upstream gradient ignored",
            "-dloss /", "-1 /"),
    # the transformer
    Mistake("rotation:RotationTheta.backward", "the sign of sin",
            "- sin *", "+ sin *", "rotation_theta"),
    Mistake("affine_grid:affine_grid_backward", "x and y swapped",
            "d_00 + dG_0 * x_p[p]", "d_00 + dG_0 * y_p[p]"),
    Mistake("affine_grid:affine_grid_backward", "the translation from the last pixel only",
            "d_02 + dG_0", "dG_0"),
    Mistake("affine_grid:affine_grid_backward", "the second sample gets the first one's gradient",
            "dG_b, dtheta_b = dG[b],", "dG_b, dtheta_b = dG[0],"),
    Mistake("projective_grid:of_quotients", "the last term of the quotient rule dropped",
            "-(dG_x * (q_0 / q_2) + dG_y * (q_1 / q_2)) / q_2", "0 * q_2"),
    Mistake("projective_grid:of_quotients", "q for q / q_2 in the quotient rule",
            "dG_x * (q_0 / q_2)", "dG_x * q_0"),
    Mistake("projective_grid:of_quotients", "the sign of the quotient rule",
            "-(dG_x", "(dG_x"),
    Mistake("projective_grid:projective_grid_backward", "the translation from the last pixel only",
            "d_02 + dq_0", "dq_0"),
    Mistake("tps_grid:tps_grid_backward", "the control points in reverse order",
            "dx, dy = M[k, start:stop]", "dx, dy = M[K - 1 - k, start:stop]"),
    Mistake("tps_grid:tps_grid_backward", "x and y swapped",
            "dx += M_k[p] * x[p]", "dx += M_k[p] * y[p]"),
    Mistake("tps_grid:tps_grid_backward", "the last pixel left out",
            "in range(x.size)", "in range(x.size - 1)"),
    Mistake("tps_grid:TpsGrid.backward", "M in float32",
            "(M,) = ctx.saved", "M = ctx.saved[0].astype(np.float32).astype(dG.dtype)"),
    Mistake("affine_grid_3d:affine_grid_3d_backward", "y and z swapped",
            "slice_1 * z[k]", "slice_y", "affine_grid"),
    Mistake("affine_grid_3d:affine_grid_3d_backward", "the translation from the last slice only",
            "dtheta[b, r, 3] += slice_1", "dtheta[b, r, 3] = slice_1", "affine_grid"),
    Mistake("grid_sample_3d:grid_sample_3d_backward_input", "the weights of the two slices exchanged",
            "wz[k] * wy[i]", "wz[1 - k] * wy[i]", "grid_sample"),
    Mistake("grid_sample_3d:grid_sample_3d_backward_input", "a race: of points in one voxel the last one wins",
            "size)] += dV_p * wz[k]", "size)] = dV_p * wz[k]", "grid_sample"),
    Mistake("grid_sample_3d:grid_sample_3d_backward_input", "the voxels left out of a point that is not amid",
            "if amid or inside(l + k, n + i, m + j, size)", "if amid", "grid_sample"),
    Mistake("grid_sample_3d:grid_sample_3d_backward_grid", "D for W in the slope of z",
            "dz * slope_z", "dz * slope_z * W / D", "grid_sample"),
    Mistake("grid_sample_3d:grid_sample_3d_backward_grid", "the sign forgotten that a reflection turns, along z",
            "dz * slope_z", "dz * abs(slope_z)", "grid_sample"),
    Mistake("grid_sample_3d:grid_sample_3d_backward_grid", "channels not summed",
            "dx += dV_p", "dx = dV_p", "grid_sample"),
    Mistake("grid_sample_3d:grid_sample_3d_backward_grid", "ceil(z) for floor(z) + 1: no slope at a voxel's centre",
            "(z1 - z0)", "(z1 - z0) * (wz[1] > 0)", "grid_sample"),
    Mistake("grid_sample_bicubic_fast:share_out_to_columns", "the outermost tap left out",
            "dV[p] * wx3[p]", "0", "grid_sample"),
    Mistake("grid_sample_bicubic_fast:grid_sample_bicubic_fast_backward", "the weight for its slope",
            "piece_of(wx_slope, start, stop)", "wx_c", "grid_sample"),
    Mistake("grid_sample_bicubic_fast:add_to_four", "a race: of taps in one pixel the last one wins",
            "four(dU_planes, at)", "four_times(columns.dtype.type(0))", "grid_sample"),
    Mistake("grid_sample_bicubic_fast:grid_sample_bicubic_fast_backward", "channels not summed",
            "dx[p] += ", "dx[p] = ", "grid_sample"),
    Mistake("grid_sample_bicubic_fast:grid_sample_bicubic_fast_backward", "(W - 1) / 2 for W / 2",
            "= all_dx[p], all_dy[p]", "= all_dx[p] * (W - 1) / W, all_dy[p]", "grid_sample"),
    Mistake("grid_sample:grid_sample_backward_grid", "(W - 1) / 2 for W / 2",
            "dx[p] * slope_x[p]", "dx[p] * slope_x[p] * (W - 1) / W"),
    Mistake("grid_sample:grid_sample_backward_grid", "x and y swapped",
            "dx[p] * slope_x[p], dy[p] * slope_y[p]", "dy[p] * slope_y[p], dx[p] * slope_x[p]"),
    Mistake("grid_sample:grid_sample_backward_grid", "channels not summed",
            "dx_c[p] +=", "dx_c[p] ="),
    Mistake("grid_sample:grid_sample_backward_grid", "the sign forgotten that a reflection turns",
            "dx[p] * slope_x[p]", "dx[p] * abs(slope_x[p])"),
    Mistake("grid_sample:grid_sample_backward_grid", "ceil(x) for floor(x) + 1: no slope at a pixel's centre",
            "above[right] - above[left]", "(above[right] - above[left]) * (fx[p] > 0)"),
    Mistake("grid_sample:grid_sample_backward_grid", "the lower neighbours left out",
            "fy[p] * (along_below - along_above)", "0"),
    Mistake("grid_sample:grid_sample_backward_input", "one corner missing",
            "(one - fx[p]) * lower, fx[p] * lower", "(one - fx[p]) * lower, 0"),
    Mistake("grid_sample:add_pixels", "a race: of points in one pixel the last one wins",
            "plus(pair(flat, n_th), pair(above, 2 * p))", "pair(above, 2 * p)"),
    Mistake("grid_sample:take_image", "the planes not cleared between channels",
            "sums[:] = 0", "pass"),
    Mistake("grid_sample:GridSample.backward", "one part in ten thousand too much",
            "dU.reshape(B, C, H, W)", "1.0001 * dU.reshape(B, C, H, W)"),
]  # fmt: skip


def plain_lanes():
    """The functions of lanes by name, as they are where Numba is switched off."""
    spec = importlib.util.spec_from_file_location("plain_lanes", lanes.__file__)
    module = importlib.util.module_from_spec(spec)
    before, numba.config.DISABLE_JIT = numba.config.DISABLE_JIT, 1
    try:
        spec.loader.exec_module(module)
    finally:
        numba.config.DISABLE_JIT = before
    return vars(module)


PLAIN_LANES = plain_lanes()


@contextlib.contextmanager
def planted(mistake):
    """Put the mistake into the library for the duration of a block; gives a list that grows with each call of it."""
    module_name, path = mistake.where.split(":")
    owner = module = importlib.import_module(f"npstn.ops.{module_name}")
    source = inspect.getsource(module)
    text_of = {n.name: ast.get_source_segment(source, n) for n in ast.parse(source).body if hasattr(n, "name")}
    *classes, name = path.split(".")
    if classes:
        owner = getattr(module, classes[0])
        text = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    else:
        text = text_of.get(name, "")
    assert mistake.right in text, f"{mistake.where}: there is no {mistake.right!r} any more; plant the mistake anew"
    copies = {name: text.replace(mistake.right, mistake.wrong)}
    callees = [] if classes else [name]
    for callee in callees:  # compiled callers keep the original, so every kernel of backward that leads to it is copied
        callers = {n: t for n, t in text_of.items() if "forward" not in n and re.search(rf"\b{callee}\(", t)}
        callees += callers.keys() - copies.keys()
        copies = callers | copies

    namespace = {n: PLAIN_LANES.get(n, x) if x is vars(lanes).get(n) else x for n, x in vars(module).items()}
    for text in copies.values():
        exec(text, namespace)  # without `@kernel`: a copy runs as plain Python  # noqa: S102
    calls = []
    namespace[name] = _noting(namespace[name], calls)
    originals = {n: inspect.getattr_static(owner, n) for n in copies}
    try:
        for n in copies:
            setattr(owner, n, namespace[n])
        yield calls
    finally:
        for n, original in originals.items():
            setattr(owner, n, original)


def _noting(function, calls):
    """The same function, static or not, that adds to a list at each call."""
    own = getattr(function, "__func__", function)

    @functools.wraps(own)
    def noting(*args):
        calls.append(own.__name__)
        return own(*args)

    return staticmethod(noting) if isinstance(function, staticmethod) else noting


@functools.cache
def reaches(sample, mistake):
    """Whether the gradients of a sample are computed by the function with the mistake. No other can show it."""
    subject = Subject(sample.fn, sample.inputs)
    shape = subject.value(subject.arrays).shape
    with planted(mistake) as calls, contextlib.suppress(ValueError, TypeError):  # a shape or a dtype is wrong
        for upstream in (np.ones(shape), next(_units(shape))):  # a convolution takes another path where most is 0
            subject.gradients(subject.arrays, upstream)
    return bool(calls)


@functools.cache  # two tests ask for it
def checked(mistake):
    """The report on the first sample that shows the mistake; None if no sample shows it."""
    showing = [sample for sample in mistake.samples if reaches(sample, mistake)]
    with planted(mistake):
        return next((report for report in (sample.check() for sample in showing) if not report), None)


def passes_plainly(sample, eps=1e-6, atol=1e-5, rtol=1e-3):
    """The check of torch.autograd.gradcheck, with its defaults: it compares the two Jacobians entry by entry.

    Then two calls must give the same gradients, and an upstream gradient of zeros must give zeros.
    """
    subject = Subject(sample.fn, sample.inputs)
    y = subject.value(subject.arrays)
    try:
        gradients = [subject.gradients(subject.arrays, e) for e in _units(y.shape)]
        for k, x in enumerate(subject.arrays):
            columns = []
            for e in _units(x.shape):
                above, below = subject.arrays, subject.arrays
                above[k], below[k] = x + eps * e, x - eps * e
                columns.append((subject.value(above) - subject.value(below)).ravel() / (2 * eps))
            if not np.allclose([dxs[k].ravel() for dxs in gradients], np.transpose(columns), rtol, atol):
                return False
        again = [subject.gradients(subject.arrays, e) for e in _units(y.shape)]
        zeros = subject.gradients(subject.arrays, np.zeros_like(y))
    except (ValueError, TypeError):
        return False  # a shape or a dtype is wrong
    repeated = all(
        np.array_equal(dx, other)
        for dxs, others in zip(gradients, again, strict=True)
        for dx, other in zip(dxs, others, strict=True)
    )
    return repeated and not any(dx.any() for dx in zeros)


def passes_one_direction(sample, eps=1e-6, atol=1e-5, rtol=1e-3):
    """The quick check: the slope along one random direction through all inputs, with one random cotangent."""
    subject, rng = Subject(sample.fn, sample.inputs), np.random.default_rng(0)
    v = rng.standard_normal(subject.value(subject.arrays).shape)
    ds = [rng.standard_normal(x.shape) for x in subject.arrays]
    ds = [d / np.sqrt(sum((d * d).sum() for d in ds)) for d in ds]
    try:
        dxs = subject.gradients(subject.arrays, v.copy())
    except (ValueError, TypeError):
        return False
    above, below = (subject.value([x + t * d for x, d in zip(subject.arrays, ds, strict=True)]) for t in (eps, -eps))
    analytic = sum((dx * d).sum() for dx, d in zip(dxs, ds, strict=True))
    return bool(np.allclose(analytic, (v * (above - below)).sum() / (2 * eps), rtol, atol))


@functools.cache  # the right gradients are judged once, and not once for each mistake
def verdict(check, sample, mistake=None):
    """Whether a plain check accepts a sample, with the mistake planted or as it is."""
    with planted(mistake) if mistake else contextlib.nullcontext():
        return check(sample)


def let_through(mistake, check):
    """Whether a plain check accepts the mistake in all samples whose right gradient it accepts."""
    accepted = [sample for sample in mistake.samples if reaches(sample, mistake) and verdict(check, sample)]
    assert accepted, f"{mistake.where}: {check.__name__} refuses the right gradients of all samples"
    return all(verdict(check, sample, mistake) for sample in accepted)


def _units(shape):
    """Every array of this shape with a single one among zeros."""
    for index in np.ndindex(shape):
        e = np.zeros(shape)
        e[index] = 1
        yield e


def table():
    rows = ["| mistake | planted in | PyTorch's defaults | one direction | npstn finds |", "|---|---|---|---|---|"]
    passed = [0, 0]
    for mistake in MISTAKES:
        report = checked(mistake)
        through = [let_through(mistake, check) for check in (passes_plainly, passes_one_direction)]
        passed = [n + t for n, t in zip(passed, through, strict=True)]
        one, other = ("**passes**" if t else "refused" for t in through)
        rows.append(f"| {mistake.what} | `{mistake.where}` | {one} | {other} | {_finding(report)} |")
    one, other = passed
    rows += ["", f"Of {len(MISTAKES)} mistakes {one} pass PyTorch's defaults, {other} one direction, and none npstn."]
    return "\n".join(rows)


def _finding(report):
    """The report in a few words, without numbers that another processor might round differently."""
    fault = report.faults[0]
    if fault.startswith("breaks"):
        return f"the contract {fault.split(chr(39))[1]!r} broken"
    return fault.split(" is wrong")[0] + " wrong" if " is wrong" in fault else fault.split(":")[0]


def picture():
    """Draw the error curves of a smooth function, of a piecewise linear one, and of a wrong gradient."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    smooth, kinked = (next(s for s in SAMPLES if s.operation == name) for name in ("sin", "conv2d"))
    wrong = next(m for m in MISTAKES if m.where == "elementary:Sin.gradient")
    panels = [(smooth, "sin"), (kinked, "conv2d, piecewise linear")]
    axes = figure.subplots(1, 3)
    for ax, (sample, title) in zip(axes, panels, strict=False):
        draw(ax, [sample.check(curve=True)], title)
    with planted(wrong):
        draw(axes[2], [smooth.check(curve=True)], f"sin, {wrong.what}")
    return figure


def write():
    """Write the table and the picture of docs/gradcheck.md."""
    before, after = MARK
    head, _, rest = DOCUMENT.read_text().partition(before)
    DOCUMENT.write_text(f"{head}{before}\n{table()}\n{after}{rest.partition(after)[2]}")
    picture().savefig(DOCUMENT.parent / "pictures" / "gradcheck.png", dpi=110)


if __name__ == "__main__":
    npstn.set_num_threads(1)
    if sys.argv[1:] == ["--peers"]:
        from tests.peers import table as peers  # not above: it needs this module

        peers.write()
    else:
        write()
