"""docs/derivation.md is true: its formulas, names, pictures and snippets.

Each formula of the text has a test, whose docstring is the formula. The test evaluates the formula with all its sums,
and compares the result with the library's. `total` sums over all indices, `table` makes an array from a formula for its
entries, and brackets [...] are a bool.
"""

import ast
import contextlib
import doctest
import functools
import importlib.util
import itertools
import math
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from finite_differences import differentiate

import npstn
import npstn.functional as F
from npstn import Tensor, models, no_grad, reference
from npstn.data import draw_digits
from npstn.ops import conv2d_fast, grid_sample_bicubic, max_pool2d_fast, phases, projective_grid, tps_grid
from npstn.ops.arguments import planes
from npstn.transformers import Attention, Rotation

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "derivation.md").read_text(encoding="utf-8")


def total(term, *sizes):
    return math.fsum(term(*index) for index in np.ndindex(*sizes))


def table(entry, *sizes):
    array = np.empty(sizes)
    for index in np.ndindex(*sizes):
        array[index] = entry(*index)
    return array


def same(actual, expected, tolerance=1e-12):
    """Equal to `tolerance` times the largest number expected."""
    assert np.shape(actual) == np.shape(expected)
    scale = np.abs(expected).max()
    assert scale > 0, "nothing but zeros to compare"
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def one_hot(index, shape):
    array = np.zeros(shape)
    array[index] = 1
    return array


# 1 to 7: the chain rule and the loss


def test_formula_1(rng):
    r"""dx_g = \sum_u \sum_o dy^u_o \frac{\partial y^u_o}{\partial x_g}"""
    x, A, dy0, dy1 = (rng.standard_normal(shape) for shape in ((1, 3), (3, 4), (1, 4), (1, 3)))

    def two_uses(x):
        return (x @ Tensor(A) * Tensor(dy0)).sum() + (x * x * Tensor(dy1)).sum()

    _, (dx,), _ = differentiate(two_uses, x, cotangent=np.array(1.0))
    uses = [(dy0[0], lambda g, o: A[g, o]), (dy1[0], lambda g, o: 2 * x[0, g] * (g == o))]
    expected = table(lambda g: sum(total(lambda o: dy[o] * slope(g, o), len(dy)) for dy, slope in uses), 3)
    same(dx[0], expected)


def draw_scores(rng):
    return 3 * rng.standard_normal((4, 5)), np.array([2, 0, 4, 2])


def test_formula_2(rng):
    r"""L = -\frac{1}{B} \sum_b y_{b,t_b}"""
    y, t = draw_scores(rng)
    same(F.nll_loss(Tensor(y), t).item(), -1 / 4 * total(lambda b: y[b, t[b]], 4))


def test_formula_3(rng):
    r"""dy_{b,k} = -\frac{1}{B} \thinspace [k = t_b]"""
    y, t = draw_scores(rng)
    _, (dy,), _ = differentiate(lambda y: F.nll_loss(y, t), y, cotangent=np.array(1.0))
    same(dy, table(lambda b, k: -1 / 4 * (k == t[b]), 4, 5))


def log_softmax(x):
    return table(lambda b, k: x[b, k] - math.log(total(lambda j: math.exp(x[b, j]), x.shape[1])), *x.shape)


def test_formula_4(rng):
    r"""y_{b,k} = x_{b,k} - \ln \sum_j e^{x_{b,j}}"""
    x, _ = draw_scores(rng)
    same(F.log_softmax(Tensor(x), dim=1).data, log_softmax(x))


def test_formula_5(rng):
    r"""\frac{\partial y_{b,j}}{\partial x_{b,k}} = [j = k] - \pi_{b,k}"""
    x, _ = draw_scores(rng)
    p = np.exp(log_softmax(x))
    for b, j in np.ndindex(4, 5):
        _, (jacobian,), _ = differentiate(lambda x: F.log_softmax(x, 1), x, cotangent=one_hot((b, j), (4, 5)))
        same(jacobian[b], table(lambda k: (j == k) - p[b, k], 5))


def test_formula_6(rng):
    r"""dx_{b,k} = dy_{b,k} - \pi_{b,k} \sum_j dy_{b,j}"""
    x, _ = draw_scores(rng)
    _, (dx,), dy = differentiate(lambda x: F.log_softmax(x, 1), x)
    p = np.exp(log_softmax(x))
    same(dx, table(lambda b, k: dy[b, k] - p[b, k] * total(lambda j: dy[b, j], 5), 4, 5))


def test_formula_7(rng):
    r"""dx_{b,k} = \frac{1}{B} \left( \pi_{b,k} - [k = t_b] \right)"""
    x, t = draw_scores(rng)
    _, (dx,), _ = differentiate(lambda x: F.cross_entropy(x, t), x, cotangent=np.array(1.0))
    p = np.exp(log_softmax(x))
    same(dx, table(lambda b, k: 1 / 4 * (p[b, k] - (k == t[b])), 4, 5))


# 8 to 15: linear layer, relu, dropout


@pytest.fixture
def linear(rng):
    x, M, bias = (rng.standard_normal(shape) for shape in ((3, 4), (2, 4), (2,)))
    y, gradients, dy = differentiate(F.linear, x, M, bias)
    return x, M, bias, y, gradients, dy


def test_formula_8(linear):
    r"""y_{b,o} = \sum_g x_{b,g} M_{o,g} + \mathrm{bias}(o)"""
    x, M, bias, y, _, _ = linear
    same(y, table(lambda b, o: total(lambda g: x[b, g] * M[o, g], 4) + bias[o], 3, 2))


def test_formula_9(linear):
    r"""dx_{b,g} = \sum_o dy_{b,o} M_{o,g}"""
    _, M, _, _, (dx, _, _), dy = linear
    same(dx, table(lambda b, g: total(lambda o: dy[b, o] * M[o, g], 2), 3, 4))


def test_formula_10(linear):
    r"""dM_{o,g} = \sum_b dy_{b,o} x_{b,g}"""
    x, _, _, _, (_, dM, _), dy = linear
    same(dM, table(lambda o, g: total(lambda b: dy[b, o] * x[b, g], 3), 2, 4))


def test_formula_11(linear):
    r"""d\mathrm{bias}(o) = \sum_b dy_{b,o}"""
    _, _, _, _, (_, _, dbias), dy = linear
    same(dbias, table(lambda o: total(lambda b: dy[b, o], 3), 2))


def test_formula_12(rng):
    r"""y = \max(x, 0)"""
    x = np.append(rng.standard_normal(9), [0.0, -0.0])
    same(F.relu(Tensor(x)).data, table(lambda i: max(x[i], 0), 11))


def test_formula_13(rng):
    r"""dx = dy \thinspace [x \gt 0]"""
    x = np.append(rng.standard_normal(9), [0.0, -0.0])
    _, (dx,), dy = differentiate(F.relu, x)
    same(dx, table(lambda i: dy[i] * (x[i] > 0), 11))


def drop(U, dropout=F.dropout, p=0.25):
    """The same elements each time."""
    npstn.manual_seed(5)
    return dropout(U, p)


def test_formula_14(rng):
    r"""V = D \thinspace U"""
    U = rng.standard_normal((20, 30, 4, 4))
    D = drop(Tensor(np.ones(U.shape))).data
    assert set(D.ravel()) == {0.0, 1 / (1 - 0.25)}
    assert abs((D == 0).mean() - 0.25) < 0.02 and abs(D.mean() - 1) < 0.02
    same(drop(Tensor(U)).data, table(lambda *index: D[index] * U[index], *U.shape))
    D = drop(Tensor(np.ones(U.shape)), F.dropout2d).data
    assert (D == D[:, :, :1, :1]).all() and abs((D == 0).mean() - 0.25) < 0.06


def test_formula_15(rng):
    r"""dU = D \thinspace dV"""
    U = rng.standard_normal((4, 6, 2, 2))
    for dropout in F.dropout, F.dropout2d:
        D = drop(Tensor(np.ones(U.shape)), dropout).data
        _, (dU,), dV = differentiate(functools.partial(drop, dropout=dropout), U)
        same(dU, table(lambda *index: D[index] * dV[index], *U.shape))


# 16 to 23: windows


def window(i, j, size, kernel, stride, padding):
    """(k, l, n, m) for the pixels inside the image that the window at (i, j) reads, in row order."""
    for k, l in np.ndindex(*kernel):
        n, m = i * stride[0] - padding[0] + k, j * stride[1] - padding[1] + l
        if 0 <= n < size[0] and 0 <= m < size[1]:
            yield k, l, n, m


both_kernels = pytest.fixture(params=[contextlib.nullcontext, reference], ids=["fast", "reference"])


@both_kernels
def pool(rng, request):
    U = rng.integers(0, 6, (2, 2, 5, 6)).astype(np.float64)  # ties
    with request.param():
        V, (dU,), dV = differentiate(lambda U: F.max_pool2d(U, (3, 2), (2, 1), (1, 1)), U)
    return U, V, dU, dV, functools.partial(window, size=(5, 6), kernel=(3, 2), stride=(2, 1), padding=(1, 1))


def test_formula_16(pool):
    r"""V_{b,c,i,j} = \max_{k,l} U_{b,c,n,m}"""
    U, V, _, _, window = pool
    same(V, table(lambda b, c, i, j: max(U[b, c, n, m] for _, _, n, m in window(i, j)), 2, 2, 3, 7))


def largest(U, V, window):
    """A[b, c, i, j]: where the largest stands, the first in row order."""
    return {
        (b, c, i, j): next((n, m) for _, _, n, m in window(i, j) if U[b, c, n, m] == V[b, c, i, j])
        for b, c, i, j in np.ndindex(V.shape)
    }


def test_formula_17(pool):
    r"""dU_{b,c,n,m} = \sum_{i,j} dV_{b,c,i,j} \thinspace [A_{b,c,i,j} = (n, m)]"""
    U, V, dU, dV, window = pool
    A = largest(U, V, window)
    kept = max_pool2d_fast.forward(U, 3, 2, (2, 1), (1, 1), np.empty(V.shape)).reshape(V.shape)

    def entry(b, c, n, m):
        return total(lambda i, j: dV[b, c, i, j] * (A[b, c, i, j] == (n, m)), 3, 7)

    same(dU, table(entry, *U.shape))
    for (b, c, i, j), (n, m) in A.items():
        assert kept[b, c, i, j] == (c * 7 + n + 1) * 8 + m + 1


STRIDE, PADDING = (2, 1), (1, 2)


@both_kernels
def conv(rng, request):
    U, weight, bias = (rng.standard_normal(shape) for shape in ((2, 3, 5, 4), (2, 3, 3, 2), (2,)))
    with request.param():
        V, gradients, dV = differentiate(lambda *inputs: F.conv2d(*inputs, STRIDE, PADDING), U, weight, bias)
    assert V.shape == (2, 2, 3, 7)
    return U, weight, bias, V, gradients, dV


def reader(U, stride=STRIDE):
    """U[b, c, n, m] of the pixel that output (i, j) reads with weight (k, l); 0 outside the image."""

    def read(b, c, i, j, k, l):
        n, m = i * stride[0] - PADDING[0] + k, j * stride[1] - PADDING[1] + l
        return U[b, c, n, m] if 0 <= n < U.shape[2] and 0 <= m < U.shape[3] else 0.0

    return read


def test_formula_18(conv):
    r"""V_{b,o,i,j} = \mathrm{bias}(o) + \sum_c \sum_k \sum_l F_{o,c,k,l} U_{b,c,n,m}"""
    U, weight, bias, V, _, _ = conv
    read = reader(U)

    def entry(b, o, i, j):
        return bias[o] + total(lambda c, k, l: weight[o, c, k, l] * read(b, c, i, j, k, l), 3, 3, 2)

    same(V, table(entry, *V.shape))


def test_formula_19(conv):
    r"""dF_{o,c,k,l} = \sum_b \sum_i \sum_j dV_{b,o,i,j} U_{b,c,n,m}"""
    U, weight, _, _, (_, dweight, _), dV = conv
    read = reader(U)

    def entry(o, c, k, l):
        return total(lambda b, i, j: dV[b, o, i, j] * read(b, c, i, j, k, l), 2, 3, 7)

    same(dweight, table(entry, *weight.shape))


def test_formula_20(conv):
    r"""d\mathrm{bias}(o) = \sum_b \sum_i \sum_j dV_{b,o,i,j}"""
    _, _, _, _, (_, _, dbias), dV = conv
    same(dbias, table(lambda o: total(lambda b, i, j: dV[b, o, i, j], 2, 3, 7), 2))


def reads(n, m, i, j, k, l, stride, padding):
    return (n == i * stride[0] - padding[0] + k) * (m == j * stride[1] - padding[1] + l)


def test_formula_21(conv):
    r"""
    dU_{b,c,n,m} = \sum_o \sum_{k,l} \sum_{i,j} F_{o,c,k,l} \thinspace dV_{b,o,i,j} \thinspace [n = i s_y - q_y + k]
    [m = j s_x - q_x + l]
    """
    U, weight, _, _, (dU, _, _), dV = conv

    def entry(b, c, n, m):
        def term(o, k, l, i, j):
            return weight[o, c, k, l] * dV[b, o, i, j] * reads(n, m, i, j, k, l, STRIDE, PADDING)

        return total(term, 2, 3, 2, 3, 7)

    same(dU, table(entry, *U.shape))


class Pieces:
    """Memory of the convolution for two samples at once, and each R_q of a sample in it."""

    def __init__(self, stride):
        self.h, self.w = (5 + 2 * 1 - 3) // stride[0] + 1, (4 + 2 * 2 - 2) // stride[1] + 1
        self.lines, self.columns = self.h + (3 - 1) // stride[0], self.w + (2 - 1) // stride[1]
        self.shape = 3 * stride[0] * stride[1], self.lines, self.columns
        self.sizes = *self.shape, 2, self.h, self.w, 2
        start = conv2d_fast.starts(3, 3, 2, stride, self.columns, self.w)
        self.start = start[:, 0] * self.lines * self.w + start[:, 1]
        self.stack, self.pitch = np.empty(2 * math.prod(self.shape)), 2 * self.lines * self.columns
        self.S = np.zeros((self.shape[0] * (self.columns - self.w + 1), self.lines, self.w, 2))

    def piece(self, q, s):
        """R_q of sample s, (h, w)."""
        return self.S.ravel()[2 * (self.start[q] + np.arange(self.h * self.w).reshape(self.h, self.w)) + s]


all_strides = pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 2), (3, 2), (4, 3)])


@all_strides
def test_formula_22(rng, stride):
    r"""R_{c,k,l}(i, j) = U_{c,n,m}"""
    U, weight, bias = (rng.standard_normal(shape) for shape in ((2, 3, 5, 4), (2, 3, 3, 2), (2,)))
    pieces, read = Pieces(stride), reader(U, stride)
    apart = phases.take_apart(U, pieces.lines, pieces.columns, stride, PADDING)
    conv2d_fast.stack(planes(apart), 0, 2, pieces.stack, 0, pieces.pitch)
    conv2d_fast.spread(pieces.stack, pieces.sizes, 2, pieces.S.ravel(), 2 * pieces.lines * pieces.w)
    R = np.array([[pieces.piece(q, s) for q in range(18)] for s in (0, 1)]).reshape(2, 3, 3, 2, pieces.h, pieces.w)
    same(R, table(lambda s, c, k, l, i, j: read(s, c, i, j, k, l), *R.shape))

    # And (18) and (19) are sums of these images.
    V, (_, dweight, _), dV = differentiate(lambda *inputs: F.conv2d(*inputs, stride, PADDING), U, weight, bias)
    for s, o in np.ndindex(2, 2):
        same(V[s, o], bias[o] + sum(weight[o][tap] * R[s][tap] for tap in np.ndindex(3, 3, 2)))
    same(dweight, table(lambda o, *tap: sum((dV[s, o] * R[s][tap]).sum() for s in (0, 1)), 2, 3, 3, 2))


@all_strides
def test_formula_23(rng, stride):
    r"""
    dU_{c,n,m} = \sum_l dS_{c,l}(n, m-l), \quad dS_{c,l}(n, j) = \sum_o \sum_k F_{o,c,k,l} \thinspace dV_{o,n-k,j}
    """
    U, weight = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((2, 3, 3, 2))
    _, (dU_of_conv2d, _), dV = differentiate(lambda *inputs: F.conv2d(*inputs, None, stride, PADDING), U, weight)
    pieces = Pieces(stride)
    filters = conv2d_fast.of_lines(weight, stride).reshape(len(pieces.S), -1, 2)  # (cl, k, o)
    for (cl, k, o), factor in np.ndenumerate(filters):
        pieces.S[cl, k : k + pieces.h] += factor * dV[:, o].transpose(1, 2, 0)  # line n = i + k
    d_phases = np.empty((2, *pieces.shape))
    conv2d_fast.gather(pieces.S.ravel(), 2 * pieces.lines * pieces.w, pieces.sizes, 2, pieces.stack)
    conv2d_fast.unstack(pieces.stack, 0, 2, pieces.pitch, planes(d_phases))
    dU = phases.put_together(d_phases, U.shape, stride, PADDING)

    def entry(s, c, n, m):
        def term(o, k, l, i, j):
            return weight[o, c, k, l] * dV[s, o, i, j] * reads(n, m, i, j, k, l, stride, PADDING)

        return total(term, 2, 3, 2, pieces.h, pieces.w)

    expected = table(entry, *U.shape)
    same(dU, expected)
    same(dU_of_conv2d, expected)


# 24 to 39: the sampler. The images are 4 x 5.

H, W = 4, 5
both_conventions = pytest.mark.parametrize("align_corners", [True, False])


def to_pixels(g, size, align_corners):
    return (g + 1) * (size - 1) / 2 if align_corners else (g + 1) * size / 2 - 1 / 2


def factors(align_corners):
    """sigma_x, sigma_y."""
    return ((W - 1) / 2, (H - 1) / 2) if align_corners else (W / 2, H / 2)


def tent(distance):
    return max(0, 1 - abs(distance))


def tent_slope(distance):
    return int(-1 <= distance < 0) - int(0 <= distance < 1)


class Sampling:
    """Random images, and points inside and outside of them; some at integers, exactly."""

    def __init__(self, rng, align_corners):
        self.U, self.G = rng.standard_normal((2, 2, H, W)), rng.uniform(-1.6, 1.6, (2, 12, 2))
        if align_corners:
            self.G[:, :4, 0] = [-1, -0.5, 0, 1]  # x = 0, 1, 2, 4
        else:
            self.G[:, :4, 1] = [-0.75, -0.25, 0.25, 0.75]  # y = 0, 1, 2, 3
        grid = self.G.reshape(2, 3, 4, 2)
        V, (dU, dG), dV = differentiate(functools.partial(F.grid_sample, align_corners=align_corners), self.U, grid)
        self.V, self.dV = V.reshape(2, 2, 12), dV.reshape(2, 2, 12)
        self.dU, self.dG = dU, dG.reshape(2, 12, 2)
        self.sigma = factors(align_corners)
        self.x, self.y = to_pixels(self.G[..., 0], W, align_corners), to_pixels(self.G[..., 1], H, align_corners)
        integers = (self.x if align_corners else self.y)[:, :4]
        assert (integers == np.rint(integers)).all()

    def corners(self, b, c, p):
        """The four pixels, 0 outside the image, and the fractions."""
        m, n = math.floor(self.x[b, p]), math.floor(self.y[b, p])
        inside = {(n, m): self.U[b, c, n, m] for n, m in np.ndindex(H, W)}
        pixels = [inside.get((n + down, m + right), 0.0) for down in (0, 1) for right in (0, 1)]
        return *pixels, self.x[b, p] - m, self.y[b, p] - n


@pytest.fixture(params=[True, False], ids=["align_corners", "edges"])
def sampling(request, rng):
    return Sampling(rng, request.param)


def ramps(g_x, g_y, **options):
    """Where the sampler sees the points, by images that rise by 1 from column to column, and from row to row.

    Returns (x, y), and the derivatives of x and y in the two coordinates of the grid.
    """
    U = np.stack([np.tile(np.arange(W), (H, 1)), np.tile(np.arange(H), (W, 1)).T])[None].astype(np.float64)
    G = np.stack([g_x, g_y], axis=-1)[None, None]
    slopes = []
    for channel in 0, 1:
        dV = np.zeros((1, 2, 1, len(g_x)))
        dV[:, channel] = 1
        V, (_, dG), _ = differentiate(lambda U, G: F.grid_sample(U, G, **options), U, G, cotangent=dV)
        slopes.append(dG[0, 0, :, channel])
    return V[0, :, 0], slopes


def test_formula_24(rng):
    r"""x_{b,p} = (G_{b,p,0} + 1) \frac{W - 1}{2}, \qquad y_{b,p} = (G_{b,p,1} + 1) \frac{H - 1}{2}"""
    G = rng.uniform(-1, 1, (20, 2))
    (x, y), _ = ramps(G[:, 0], G[:, 1], align_corners=True)
    same(x, table(lambda p: (G[p, 0] + 1) * (W - 1) / 2, 20))
    same(y, table(lambda p: (G[p, 1] + 1) * (H - 1) / 2, 20))


def test_formula_25(rng):
    r"""
    x_{b,p} = (G_{b,p,0} + 1) \frac{W}{2} - \frac{1}{2}, \qquad y_{b,p} = (G_{b,p,1} + 1) \frac{H}{2} - \frac{1}{2}
    """
    G = rng.uniform(-0.75, 0.75, (20, 2))
    (x, y), _ = ramps(G[:, 0], G[:, 1], align_corners=False)
    same(x, table(lambda p: (G[p, 0] + 1) * W / 2 - 1 / 2, 20))
    same(y, table(lambda p: (G[p, 1] + 1) * H / 2 - 1 / 2, 20))


def test_formula_26():
    r"""\Lambda(\delta) = \max(0, 1 - |\delta|)"""
    x = np.linspace(-2, 6, 65)
    G = np.stack([x * 2 / (W - 1) - 1, np.full(65, -1.0)], axis=-1)[None, None]  # along row 0
    for m in range(W):
        V = F.grid_sample(Tensor(one_hot((0, 0, 0, m), (1, 1, H, W))), Tensor(G), align_corners=True).data
        same(V[0, 0, 0], table(lambda p: max(0, 1 - abs(x[p] - m)), 65))


def test_formula_27(sampling):
    r"""V_{b,c,p} = \sum_n \sum_m U_{b,c,n,m} \thinspace \Lambda(x_{b,p} - m) \thinspace \Lambda(y_{b,p} - n)"""
    U, x, y = sampling.U, sampling.x, sampling.y

    def entry(b, c, p):
        return total(lambda n, m: U[b, c, n, m] * tent(x[b, p] - m) * tent(y[b, p] - n), H, W)

    same(sampling.V, table(entry, 2, 2, 12))


def test_formula_28(sampling):
    r"""
    V_{b,c,p} = (1 - f_y) \left( (1 - f_x) U_{b,c,n,m} + f_x U_{b,c,n,m+1} \right) + f_y \left( (1 - f_x)
    U_{b,c,n+1,m} + f_x U_{b,c,n+1,m+1} \right)
    """

    def entry(b, c, p):
        U00, U01, U10, U11, fx, fy = sampling.corners(b, c, p)
        return (1 - fy) * ((1 - fx) * U00 + fx * U01) + fy * ((1 - fx) * U10 + fx * U11)

    same(sampling.V, table(entry, 2, 2, 12))


@both_conventions
def test_formula_29(rng, align_corners):
    r"""\frac{\partial V_{b,c,p}}{\partial U_{b,c,n,m}} = \Lambda(x_{b,p} - m) \thinspace \Lambda(y_{b,p} - n)"""
    U, G = rng.standard_normal((1, 1, H, W)), rng.uniform(-1, 1, (1, 1, 6, 2))
    sample = functools.partial(F.grid_sample, align_corners=align_corners)
    x, y = to_pixels(G[0, 0, :, 0], W, align_corners), to_pixels(G[0, 0, :, 1], H, align_corners)
    for p in range(6):
        dV = one_hot((0, 0, 0, p), (1, 1, 1, 6))
        _, (jacobian, _), _ = differentiate(sample, U, G, cotangent=dV)
        same(jacobian[0, 0], table(lambda n, m: tent(x[p] - m) * tent(y[p] - n), H, W))


def test_formula_30(sampling):
    r"""dU_{b,c,n,m} = \sum_p dV_{b,c,p} \thinspace \Lambda(x_{b,p} - m) \thinspace \Lambda(y_{b,p} - n)"""
    dV, x, y = sampling.dV, sampling.x, sampling.y

    def entry(b, c, n, m):
        return total(lambda p: dV[b, c, p] * tent(x[b, p] - m) * tent(y[b, p] - n), 12)

    same(sampling.dU, table(entry, *sampling.U.shape))


def test_formula_31():
    r"""\Lambda'(\delta) = [-1 \leq \delta \lt 0] - [0 \leq \delta \lt 1]"""
    x = np.linspace(-2, 6, 65)
    G = np.stack([x * 2 / (W - 1) - 1, np.full(65, -1.0)], axis=-1)[None, None]
    for m in range(W):
        U = one_hot((0, 0, 0, m), (1, 1, H, W))
        sample = functools.partial(F.grid_sample, align_corners=True)
        _, (_, dG), _ = differentiate(sample, U, G, cotangent=np.ones((1, 1, 1, 65)))
        same(dG[0, 0, :, 0] * 2 / (W - 1), table(lambda p: tent_slope(x[p] - m), 65))


def slope_along_x(s, b, p):
    """dx[b, p] by formula 32."""

    def term(c, n, m):
        return s.dV[b, c, p] * s.U[b, c, n, m] * tent_slope(s.x[b, p] - m) * tent(s.y[b, p] - n)

    return total(term, 2, H, W)


def slope_along_y(s, b, p):
    """dy[b, p] by formula 33."""

    def term(c, n, m):
        return s.dV[b, c, p] * s.U[b, c, n, m] * tent(s.x[b, p] - m) * tent_slope(s.y[b, p] - n)

    return total(term, 2, H, W)


def test_formula_32(sampling):
    r"""
    dx_{b,p} = \sum_c dV_{b,c,p} \sum_n \sum_m U_{b,c,n,m} \thinspace \Lambda'(x_{b,p} - m) \thinspace
    \Lambda(y_{b,p} - n)
    """
    same(sampling.dG[..., 0] / sampling.sigma[0], table(functools.partial(slope_along_x, sampling), 2, 12))


def test_formula_33(sampling):
    r"""
    dy_{b,p} = \sum_c dV_{b,c,p} \sum_n \sum_m U_{b,c,n,m} \thinspace \Lambda(x_{b,p} - m) \thinspace
    \Lambda'(y_{b,p} - n)
    """
    same(sampling.dG[..., 1] / sampling.sigma[1], table(functools.partial(slope_along_y, sampling), 2, 12))


def test_formula_34(sampling):
    r"""
    dx_{b,p} = \sum_c dV_{b,c,p} \left( (1 - f_y) (U_{b,c,n,m+1} - U_{b,c,n,m}) + f_y (U_{b,c,n+1,m+1} -
    U_{b,c,n+1,m}) \right)
    """

    def entry(b, p):
        def term(c):
            U00, U01, U10, U11, _, fy = sampling.corners(b, c, p)
            return sampling.dV[b, c, p] * ((1 - fy) * (U01 - U00) + fy * (U11 - U10))

        return total(term, 2)

    same(sampling.dG[..., 0] / sampling.sigma[0], table(entry, 2, 12))


def test_formula_35(sampling):
    r"""
    dy_{b,p} = \sum_c dV_{b,c,p} \left( (1 - f_x) (U_{b,c,n+1,m} - U_{b,c,n,m}) + f_x (U_{b,c,n+1,m+1} -
    U_{b,c,n,m+1}) \right)
    """

    def entry(b, p):
        def term(c):
            U00, U01, U10, U11, fx, _ = sampling.corners(b, c, p)
            return sampling.dV[b, c, p] * ((1 - fx) * (U10 - U00) + fx * (U11 - U01))

        return total(term, 2)

    same(sampling.dG[..., 1] / sampling.sigma[1], table(entry, 2, 12))


def test_formula_36(rng):
    r"""
    \sigma_x = \frac{W - 1}{2}, \quad \sigma_y = \frac{H - 1}{2} \quad (\mathrm{align \enspace corners}), \qquad
    \sigma_x = \frac{W}{2}, \quad \sigma_y = \frac{H}{2} \quad (\mathrm{else})
    """
    G = rng.uniform(-0.75, 0.75, (20, 2))
    for align_corners, sigma_x, sigma_y in (True, (W - 1) / 2, (H - 1) / 2), (False, W / 2, H / 2):
        _, (along_x, along_y) = ramps(G[:, 0], G[:, 1], align_corners=align_corners)
        same(along_x, np.full(20, sigma_x))
        same(along_y, np.full(20, sigma_y))


def test_formula_37(sampling):
    r"""dG_{b,p,0} = \sigma_x \thinspace dx_{b,p}, \qquad dG_{b,p,1} = \sigma_y \thinspace dy_{b,p}"""
    sigma_x, sigma_y = sampling.sigma
    same(sampling.dG[..., 0], table(lambda b, p: sigma_x * slope_along_x(sampling, b, p), 2, 12))
    same(sampling.dG[..., 1], table(lambda b, p: sigma_y * slope_along_y(sampling, b, p), 2, 12))


def border(x, size):
    return min(max(x, 0), size - 1), 0 < x < size - 1


def reflection(x, size, align_corners):
    z, S = (0, size - 1) if align_corners else (-1 / 2, size)
    N = math.floor(abs(x - z) / S)
    rho = abs(x - z) - N * S
    return z + rho * (N % 2 == 0) + (S - rho) * (N % 2 == 1), (-1) ** N * (int(x >= z) - int(x < z))


@both_conventions
def test_formula_38(rng, align_corners):
    r"""x' = \min(\max(x, 0), W - 1), \qquad \frac{\partial x'}{\partial x} = [0 \lt x \lt W - 1]"""
    G = rng.uniform(-3, 3, (60, 2))
    places, slopes = ramps(G[:, 0], G[:, 1], padding_mode="border", align_corners=align_corners)
    for r, size in (0, W), (1, H):
        expected = [border(to_pixels(g, size, align_corners), size) for g in G[:, r]]
        same(places[r], [x for x, _ in expected])
        same(slopes[r], [factors(align_corners)[r] * slope for _, slope in expected])


@both_conventions
def test_formula_39(rng, align_corners):
    r"""
    x' = z + \rho \thinspace [N \thinspace \mathrm{even}] + (S - \rho) \thinspace [N \thinspace \mathrm{odd}],
    \qquad \frac{\partial x'}{\partial x} = (-1)^N \left( [x \geq z] - [x \lt z] \right)
    """
    G = rng.uniform(-9, 9, (60, 2))
    places, slopes = ramps(G[:, 0], G[:, 1], padding_mode="reflection", align_corners=align_corners)
    for r, size in (0, W), (1, H):
        for p, g in enumerate(G[:, r]):
            mirrored, turned = reflection(to_pixels(g, size, align_corners), size, align_corners)
            x, inside = border(mirrored, size)
            assert places[r][p] == pytest.approx(x, rel=1e-12, abs=1e-12)
            assert slopes[r][p] == pytest.approx(factors(align_corners)[r] * turned * inside, rel=1e-12)


# 40 to 50: the grid, the angle, and everything composed


def normalised(j, w, align_corners):
    if align_corners:
        return 2 * j / (w - 1) - 1 if w > 1 else 0.0
    return (2 * j + 1) / w - 1


@pytest.fixture(params=[True, False], ids=["align_corners", "edges"])
def grid(request, rng):
    """theta, G, dtheta, dG, and the functions x(j), y(i)."""
    theta = rng.standard_normal((2, 2, 3))
    G, (dtheta,), dG = differentiate(lambda theta: F.affine_grid(theta, (2, 1, 3, 4), request.param), theta)
    return theta, G, dtheta, dG, lambda j: normalised(j, 4, request.param), lambda i: normalised(i, 3, request.param)


def test_formula_40(grid):
    r"""G_{b,i,j,r} = \theta_{b,r,0} \thinspace x_j + \theta_{b,r,1} \thinspace y_i + \theta_{b,r,2}"""
    theta, G, _, _, x, y = grid
    same(G, table(lambda b, i, j, r: theta[b, r, 0] * x(j) + theta[b, r, 1] * y(i) + theta[b, r, 2], 2, 3, 4, 2))


@both_conventions
def test_formula_41(align_corners):
    r"""
    x_j = \frac{2 j}{w - 1} - 1 \quad (\mathrm{align \enspace corners}), \qquad x_j = \frac{2 j + 1}{w} - 1 \quad
    (\mathrm{else})
    """
    identity = Tensor(np.array([[[1.0, 0, 0], [0, 1, 0]]]))
    for h, w in (3, 4), (28, 28), (2, 7):
        G = F.affine_grid(identity, (1, 1, h, w), align_corners).data[0]
        if align_corners:
            same(G[..., 0], table(lambda i, j: 2 * j / (w - 1) - 1, h, w))
            same(G[..., 1], table(lambda i, j: 2 * i / (h - 1) - 1, h, w))
        else:
            same(G[..., 0], table(lambda i, j: (2 * j + 1) / w - 1, h, w))
            same(G[..., 1], table(lambda i, j: (2 * i + 1) / h - 1, h, w))
    assert (F.affine_grid(identity, (1, 1, 1, 1), align_corners).data == 0).all()


def test_formula_42(grid):
    r"""d\theta_{b,r,0} = \sum_i \sum_j dG_{b,i,j,r} \thinspace x_j"""
    _, _, dtheta, dG, x, _ = grid
    same(dtheta[:, :, 0], table(lambda b, r: total(lambda i, j: dG[b, i, j, r] * x(j), 3, 4), 2, 2))


def test_formula_43(grid):
    r"""d\theta_{b,r,1} = \sum_i \sum_j dG_{b,i,j,r} \thinspace y_i"""
    _, _, dtheta, dG, _, y = grid
    same(dtheta[:, :, 1], table(lambda b, r: total(lambda i, j: dG[b, i, j, r] * y(i), 3, 4), 2, 2))


def test_formula_44(grid):
    r"""d\theta_{b,r,2} = \sum_i \sum_j dG_{b,i,j,r}"""
    _, _, dtheta, dG, _, _ = grid
    same(dtheta[:, :, 2], table(lambda b, r: total(lambda i, j: dG[b, i, j, r], 3, 4), 2, 2))


def test_formula_45(rng):
    r"""\theta_b = \begin{pmatrix} \cos a_b & -\sin a_b & 0 \cr \sin a_b & \cos a_b & 0 \end{pmatrix}"""
    a = rng.uniform(-4, 4, 5)
    theta = [[[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0]] for a in a]
    same(F.rotation_theta(Tensor(a)).data, np.array(theta))


def slopes_of_theta(a):
    return np.array([[-math.sin(a), -math.cos(a), 0], [math.cos(a), -math.sin(a), 0]])


def test_formula_46(rng):
    r"""
    \frac{\partial \theta_b}{\partial a_b} = \begin{pmatrix} -\sin a_b & -\cos a_b & 0 \cr \cos a_b & -\sin a_b & 0
    \end{pmatrix}
    """
    a = rng.uniform(-4, 4, 5)
    for b, r, column in np.ndindex(5, 2, 3):
        _, (da,), _ = differentiate(F.rotation_theta, a, cotangent=one_hot((b, r, column), (5, 2, 3)))
        np.testing.assert_allclose(da, one_hot(b, 5) * slopes_of_theta(a[b])[r, column], rtol=1e-12, atol=0)


def test_formula_47(rng):
    r"""
    da_b = -\sin a_b \thinspace d\theta_{b,0,0} - \cos a_b \thinspace d\theta_{b,0,1} + \cos a_b \thinspace
    d\theta_{b,1,0} - \sin a_b \thinspace d\theta_{b,1,1}
    """
    a = rng.uniform(-4, 4, 5)
    _, (da,), dtheta = differentiate(F.rotation_theta, a)

    def entry(b):
        cos, sin, d = math.cos(a[b]), math.sin(a[b]), dtheta[b]
        return -sin * d[0, 0] - cos * d[0, 1] + cos * d[1, 0] - sin * d[1, 1]

    same(da, table(entry, 5))


def rotation_grid(h, w):
    """From angles (B,) to the grid of the transformer."""
    return lambda a: Rotation().grid(a.reshape(len(a), 1), (h, w))


square_or_not = pytest.mark.parametrize(("h", "w"), [(4, 4), (3, 4), (5, 3)])


@square_or_not
def test_formula_48(rng, h, w):
    r"""
    \frac{\partial G_{b,p,0}}{\partial a_b} = -\alpha \thinspace G_{b,p,1}, \qquad \frac{\partial
    G_{b,p,1}}{\partial a_b} = \frac{1}{\alpha} \thinspace G_{b,p,0}
    """
    a, alpha = rng.uniform(-4, 4, 2), (h - 1) / (w - 1)
    generate = rotation_grid(h, w)
    G = generate(Tensor(a)).data
    for b, i, j in np.ndindex(2, h, w):
        for r, expected in (0, -alpha * G[b, i, j, 1]), (1, 1 / alpha * G[b, i, j, 0]):
            _, (da,), _ = differentiate(generate, a, cotangent=one_hot((b, i, j, r), G.shape))
            np.testing.assert_allclose(da, one_hot(b, 2) * expected, rtol=1e-12, atol=1e-14)


@square_or_not
def test_formula_49(rng, h, w):
    r"""
    da_b = \sum_p \left( \frac{1}{\alpha} \thinspace G_{b,p,0} \thinspace dG_{b,p,1} - \alpha \thinspace G_{b,p,1}
    \thinspace dG_{b,p,0} \right)
    """
    a, alpha = rng.uniform(-4, 4, 3), (h - 1) / (w - 1)
    G, (da,), dG = differentiate(rotation_grid(h, w), a)
    G, dG = G.reshape(3, h * w, 2), dG.reshape(3, h * w, 2)

    def entry(b):
        return total(lambda p: 1 / alpha * G[b, p, 0] * dG[b, p, 1] - alpha * G[b, p, 1] * dG[b, p, 0], h * w)

    same(da, table(entry, 3))


def slope_in_the_angle(U, G, dV, align_corners):
    """da by formula 50, from U (B, C, H, W), G (B, points, 2), dV (B, C, points)."""
    B, C, H, W = U.shape
    sigma_x, sigma_y = ((W - 1) / 2, (H - 1) / 2) if align_corners else (W / 2, H / 2)

    def entry(b):
        def term(p):
            x, y = to_pixels(G[b, p, 0], W, align_corners), to_pixels(G[b, p, 1], H, align_corners)
            if not (-1 < x < W and -1 < y < H):
                return 0.0  # out of every tent's reach
            along_x = [tent_slope(x - m) for m in range(W)], [tent(y - n) for n in range(H)]
            along_y = [tent(x - m) for m in range(W)], [tent_slope(y - n) for n in range(H)]

            def pull(c, n, m):
                turning_y = sigma_y * G[b, p, 0] * along_y[0][m] * along_y[1][n]
                turning_x = sigma_x * G[b, p, 1] * along_x[0][m] * along_x[1][n]
                return dV[b, c, p] * U[b, c, n, m] * (turning_y - turning_x)

            return total(pull, C, H, W)

        return total(term, G.shape[1])

    return table(entry, B)


@both_conventions
def test_formula_50(rng, align_corners):
    r"""
    da_b = \sum_p \sum_c dV_{b,c,p} \sum_n \sum_m U_{b,c,n,m} \left( \sigma_y G_{b,p,0} \thinspace \Lambda(x_{b,p} -
    m) \thinspace \Lambda'(y_{b,p} - n) - \sigma_x G_{b,p,1} \thinspace \Lambda'(x_{b,p} - m) \thinspace
    \Lambda(y_{b,p} - n) \right)
    """
    a, U = rng.uniform(-4, 4, 2), rng.standard_normal((2, 2, H, W))

    def turn(a):
        return F.affine_grid(F.rotation_theta(a), (2, 2, 3, 6), align_corners)

    _, (da,), dV = differentiate(lambda a: F.grid_sample(Tensor(U), turn(a), align_corners=align_corners), a)
    G = turn(Tensor(a)).data.reshape(2, 18, 2)
    same(da, slope_in_the_angle(U, G, dV.reshape(2, 2, 18), align_corners))


def test_formula_50_in_the_model(rng):
    net = models.STNClsNet(dropout=0.0).double()
    net.loc_net.cnn.fc2.bias.data[:] = 0.3
    U = draw_digits(1, seed=1)[0][:, None] / 255.0
    look = net.look(Tensor(U))
    dV = rng.standard_normal(look.V.shape) * (rng.uniform(size=look.V.shape) < 0.05)  # a few pixels will do
    look.V.backward(dV)
    pixels = np.flatnonzero(dV)
    G = look.grid.data.reshape(1, 784, 2)[:, pixels]
    # A single image: the gradient of the last bias is da.
    same(net.loc_net.cnn.fc2.bias.grad, slope_in_the_angle(U, G, dV.reshape(1, 1, 784)[:, :, pixels], True), 1e-11)


# 51 to 59: the localisation network, in one training pass of the whole model


class Walk:
    """One training pass of a whole STNClsNet: the results in the localisation network, and da.

    `results[name]` is the array of this name in the text, and `gradient(name)` is its gradient by the library.
    """

    def __init__(self):
        npstn.manual_seed(1)
        net = models.STNClsNet().double()
        cnn = net.loc_net.cnn
        cnn.fc2.weight.data[:] = np.random.default_rng(2).standard_normal((1, 50)) / 10  # not the zeros of the start
        images, labels = draw_digits(2, seed=3)
        self.U = images[:, None] / 255.0

        npstn.manual_seed(4)
        F.nll_loss(net(Tensor(self.U)), labels).backward()
        self.gradients = {name: parameter.grad for name, parameter in cnn.named_parameters()}
        self.weights = {name: parameter.data for name, parameter in cnn.named_parameters()}

        npstn.manual_seed(4)  # the same dropout once more: the localisation network draws before the classifier
        Q, self.D = F.dropout2d(Tensor(np.ones((2, 20, 8, 8)))), F.dropout(Tensor(np.ones((2, 50)))).data
        self.Q = Q.data[:, :, 0, 0]
        self.stages = {
            "U": lambda U: cnn.conv1(U),
            "V1": lambda V1: F.relu(F.max_pool2d(V1, 2)),
            "P": lambda P: cnn.conv2(P),
            "V2": lambda V2: F.relu(F.max_pool2d(V2 * Q, 2)).reshape(2, 320),
            "X": lambda X: cnn.fc1(X),
            "Y": lambda Y: F.relu(Y) * Tensor(self.D),
            "Z": lambda Z: cnn.fc2(Z).reshape(2),
        }
        self.results = {}
        with no_grad():
            x = Tensor(self.U)
            for name, stage in self.stages.items():
                self.results[name] = x.data
                x = stage(x)
        angle = Tensor(x.data, requires_grad=True)
        upright = F.grid_sample(Tensor(self.U), rotation_grid(28, 28)(angle), align_corners=True)
        F.nll_loss(net.cls_net(upright), labels).backward()
        self.da = angle.grad
        self.A1 = self.where_largest(self.results["V1"], (2, 10, 12, 12))
        self.A2 = self.where_largest(self.results["V2"] * Q.data, (2, 20, 4, 4))

    @staticmethod
    def where_largest(V, shape):
        """A (..., 2) of (n, m), for windows of 2 x 2."""
        A = np.empty((*shape, 2), int)
        for b, c, i, j in np.ndindex(shape):
            pixels = [(2 * i + k, 2 * j + l) for k, l in np.ndindex(2, 2)]
            A[b, c, i, j] = max(pixels, key=lambda nm: V[b, c, nm[0], nm[1]])  # the first of equal ones
        return A

    def gradient(self, name):
        names = list(self.stages)
        x = leaf = Tensor(self.results[name], requires_grad=True)
        for stage in names[names.index(name) :]:
            x = self.stages[stage](x)
        x.backward(self.da)
        return leaf.grad


@pytest.fixture(scope="module")
def walk():
    return Walk()


LONG = 1e-11  # for the sums of many terms


def test_formula_51(walk):
    r"""dM^2_o = \sum_b da_b \thinspace Z_{b,o}, \qquad d\mathrm{bias}^2 = \sum_b da_b"""
    Z, da = walk.results["Z"], walk.da
    same(walk.gradients["fc2.weight"][0], table(lambda o: total(lambda b: da[b] * Z[b, o], 2), 50), LONG)
    same(walk.gradients["fc2.bias"][0], total(lambda b: da[b], 2), LONG)


def test_formula_52(walk):
    r"""dY_{b,o} = da_b \thinspace M^2_o \thinspace D_{b,o} \thinspace [Y_{b,o} \gt 0]"""
    Y, M2, D = walk.results["Y"], walk.weights["fc2.weight"][0], walk.D
    dY = table(lambda b, o: walk.da[b] * M2[o] * D[b, o] * (Y[b, o] > 0), 2, 50)
    same(walk.gradient("Y"), dY, LONG)


def test_formula_53(walk):
    r"""dM^1_{o,g} = \sum_b dY_{b,o} \thinspace X_{b,g}"""
    dY, X = walk.gradient("Y"), walk.results["X"]
    same(walk.gradients["fc1.weight"], table(lambda o, g: total(lambda b: dY[b, o] * X[b, g], 2), 50, 320), LONG)


def test_formula_54(walk):
    r"""dX_{b,g} = \sum_o dY_{b,o} \thinspace M^1_{o,g}"""
    dY, M1 = walk.gradient("Y"), walk.weights["fc1.weight"]
    same(walk.gradient("X"), table(lambda b, g: total(lambda o: dY[b, o] * M1[o, g], 50), 2, 320), LONG)


def test_formula_55(walk):
    r"""
    dV^2_{b,c,n,m} = Q_{b,c} \sum_i \sum_j [A^2_{b,c,i,j} = (n, m)] \thinspace [X_{b,g} \gt 0] \thinspace dX_{b,g}
    """
    dX, X, Q, A2 = walk.gradient("X"), walk.results["X"], walk.Q, walk.A2

    def entry(b, c, n, m):
        def term(i, j):
            g = 16 * c + 4 * i + j
            return (tuple(A2[b, c, i, j]) == (n, m)) * (X[b, g] > 0) * dX[b, g]

        return Q[b, c] * total(term, 4, 4)

    same(walk.gradient("V2"), table(entry, 2, 20, 8, 8), LONG)


def test_formula_56(walk):
    r"""dF^2_{o,c,k,l} = \sum_b \sum_i \sum_j dV^2_{b,o,i,j} \thinspace P_{b,c,i+k,j+l}"""
    dV2, P = walk.gradient("V2"), walk.results["P"]

    def entry(o, c, k, l):
        return (dV2[:, o] * P[:, c, k : k + 8, l : l + 8]).sum()  # over b, i, j

    same(walk.gradients["conv2.weight"], table(entry, 20, 10, 5, 5), LONG)


def test_formula_57(walk):
    r"""dP_{b,c,n,m} = \sum_o \sum_k \sum_l F^2_{o,c,k,l} \thinspace dV^2_{b,o,n-k,m-l}"""
    dV2, F2 = walk.gradient("V2"), walk.weights["conv2.weight"]

    def entry(b, c, n, m):
        places = [(k, l) for k, l in np.ndindex(5, 5) if 0 <= n - k < 8 and 0 <= m - l < 8]
        return sum((F2[:, c, k, l] * dV2[b, :, n - k, m - l]).sum() for k, l in places)  # over o

    same(walk.gradient("P"), table(entry, 2, 10, 12, 12), LONG)


def test_formula_58(walk):
    r"""
    dV^1_{b,c,n,m} = \sum_i \sum_j [A^1_{b,c,i,j} = (n, m)] \thinspace [P_{b,c,i,j} \gt 0] \thinspace dP_{b,c,i,j}
    """
    dP, P, A1 = walk.gradient("P"), walk.results["P"], walk.A1

    def entry(b, c, n, m):
        here = (A1[b, c] == (n, m)).all(axis=-1)
        return (here * (P[b, c] > 0) * dP[b, c]).sum()  # over i, j

    same(walk.gradient("V1"), table(entry, 2, 10, 24, 24), LONG)


def test_formula_59(walk):
    r"""dF^1_{o,0,k,l} = \sum_b \sum_i \sum_j dV^1_{b,o,i,j} \thinspace U_{b,0,i+k,j+l}"""
    dV1, U = walk.gradient("V1"), walk.U

    def entry(o, c, k, l):
        return (dV1[:, o] * U[:, c, k : k + 24, l : l + 24]).sum()  # over b, i, j

    same(walk.gradients["conv1.weight"], table(entry, 10, 1, 5, 5), LONG)


# The example, and the formulas that are wrong as printed


def test_formula_60():
    r"""
    U = \begin{pmatrix} 0 & 0 & 0 \cr 0 & 3 & 1 \cr 0 & 2 & 5 \end{pmatrix}, \qquad \cos a = \frac{4}{5}, \quad \sin
    a = \frac{3}{5}, \qquad L = \frac{1}{2} (V - 1.2)^2
    """

    # The table of the text, in fractions.
    U, cos, sin, half = [[0, 0, 0], [0, 3, 1], [0, 2, 5]], Fraction(4, 5), Fraction(3, 5), Fraction(1, 2)
    xj, yi = Fraction(2 * 2 + 1, 3) - 1, Fraction(2 * 1 + 1, 3) - 1
    assert (xj, yi) == (Fraction(2, 3), 0)
    G = cos * xj - sin * yi, sin * xj + cos * yi
    assert G == (Fraction(8, 15), Fraction(2, 5))
    x, y = (G[0] + 1) * 3 / 2 - half, (G[1] + 1) * 3 / 2 - half
    assert (x, y) == (Fraction("1.8"), Fraction("1.6"))
    weights = [[tent(x - m) * tent(y - n) for m in range(3)] for n in range(3)]
    assert [weights[1][1:], weights[2][1:]] == [
        [Fraction("0.08"), Fraction("0.32")],
        [Fraction("0.12"), Fraction("0.48")],
    ]
    V = sum(U[n][m] * weights[n][m] for n, m in np.ndindex(3, 3))
    dV = V - Fraction("1.2")
    assert (V, dV, dV**2 / 2) == (Fraction("3.2"), 2, 2)
    dx = dV * sum(U[n][m] * tent_slope(x - m) * tent(y - n) for n, m in np.ndindex(3, 3))
    dy = dV * sum(U[n][m] * tent(x - m) * tent_slope(y - n) for n, m in np.ndindex(3, 3))
    dG = Fraction(3, 2) * dx, Fraction(3, 2) * dy
    assert (dx, dy, *dG) == (2, 6, 3, 9)
    dtheta = [[dG[r] * xj, dG[r] * yi, dG[r]] for r in (0, 1)]
    assert dtheta == [[2, 0, 3], [6, 0, 9]]
    da = -sin * dtheta[0][0] - cos * dtheta[0][1] + cos * dtheta[1][0] - sin * dtheta[1][1]
    assert da == G[0] * dG[1] - G[1] * dG[0] == Fraction("3.6")

    # And by the library, with the other convention too.
    a, image = np.array([math.atan2(3, 4)]), np.array([[U]], float)
    for align_corners in False, True:

        def turn(U, a, align_corners=align_corners):
            grid = F.affine_grid(F.rotation_theta(a), (1, 1, 3, 3), align_corners)
            return F.grid_sample(U, grid, align_corners=align_corners)

        V, (dU, da), _ = differentiate(turn, image, a, cotangent=one_hot((0, 0, 1, 2), (1, 1, 3, 3)) * 2)
        same(V[0, 0, 1, 2], 3.2)
        same(dU[0, 0], 2 * np.array(weights, float))
        same(da, np.array([3.6]))


def test_formula_E6(rng):
    r"""
    \frac{\partial V_{b,c,p}}{\partial U_{b,c,n,m}} = \sum_n \sum_m \Lambda(x_{b,p} - m) \thinspace \Lambda(y_{b,p}
    - n) \qquad \mathrm{(as \enspace printed)}
    """

    # With the sum every pixel inside gets 1; the truth is (29), which depends on the pixel.
    G = rng.uniform(-0.75, 0.75, (1, 1, 1, 2))
    x, y = to_pixels(G[0, 0, 0, 0], W, True), to_pixels(G[0, 0, 0, 1], H, True)
    assert total(lambda n, m: tent(x - m) * tent(y - n), H, W) == pytest.approx(1, rel=1e-12)
    sample = functools.partial(F.grid_sample, align_corners=True)
    _, (jacobian, _), _ = differentiate(sample, np.ones((1, 1, H, W)), G, cotangent=np.ones((1, 1, 1, 1)))
    assert len(set(jacobian.ravel())) == 5  # the four corners, and 0


def test_formula_E7(rng):
    r"""
    \frac{\partial V_{b,c,p}}{\partial x_{b,p}} = \sum_n \sum_m U_{b,c,n,m} \thinspace \Lambda(y_{b,p} - n)
    \thinspace [|m - x_{b,p}| \lt 1] \left( [m \geq x_{b,p}] - [m \lt x_{b,p}] \right) \qquad \mathrm{(as \enspace
    printed)}
    """
    U = rng.standard_normal((1, 1, H, W))
    U[0, 0, 2] = 7
    sample = functools.partial(F.grid_sample, align_corners=True)

    def printed(x, y):
        def term(n, m):
            return U[0, 0, n, m] * tent(y - n) * int(abs(m - x) < 1) * (int(m >= x) - int(m < x))

        return total(term, H, W)

    def ours(x, y):
        G = np.array([[[[2 * x / (W - 1) - 1, 2 * y / (H - 1) - 1]]]])
        _, (_, dG), _ = differentiate(sample, U, G, cotangent=np.ones((1, 1, 1, 1)))
        return dG[0, 0, 0, 0] * 2 / (W - 1)

    for x in 0.25, 1.5, 3.125:
        assert ours(x, 1.25) == pytest.approx(printed(x, 1.25), rel=1e-12)
    # At an integer: the grey value instead of the slope.
    assert printed(2, 2) == pytest.approx(7, rel=1e-12) and ours(2, 2) == pytest.approx(0, abs=1e-12)
    assert printed(2, 0) == U[0, 0, 0, 2]
    assert ours(2, 0) == pytest.approx(U[0, 0, 0, 3] - U[0, 0, 0, 2], rel=1e-12)


# 61 to 85: more maps, another sampler, several transformers


@pytest.fixture
def projective(rng):
    """theta, its grid of 3 x 4 points, and the gradients; eta is (61)."""
    theta = np.eye(3) + rng.uniform(-0.3, 0.3, (2, 3, 3))
    G, (dtheta,), dG = differentiate(lambda theta: F.projective_grid(theta, (3, 4)), theta)
    x, y = [2 * j / 3 - 1 for j in range(4)], [2 * i / 2 - 1 for i in range(3)]
    eta = table(lambda b, i, j, r: theta[b, r, 0] * x[j] + theta[b, r, 1] * y[i] + theta[b, r, 2], 2, 3, 4, 3)
    return theta, eta, G, dtheta, dG, x, y


def quotients(eta):
    """(62) by operations of the tape, each of which has been checked on its own."""
    return eta[..., :2] / eta[..., 2:]


def test_formula_61(projective):
    r"""\eta_{b,p,r} = \theta_{b,r,0} \thinspace x_j + \theta_{b,r,1} \thinspace y_i + \theta_{b,r,2}"""
    theta, _, _, _, _, x, y = projective
    for b, i, j in np.ndindex(2, 3, 4):
        eta = projective_grid.homogeneous(projective_grid.numbers_of(theta[b]), x[j], y[i])
        same(np.array(eta), table(lambda r: theta[b, r, 0] * x[j] + theta[b, r, 1] * y[i] + theta[b, r, 2], 3))


def test_formula_62(projective):
    r"""G_{b,p,r} = \frac{\eta_{b,p,r}}{\eta_{b,p,2}}"""
    _, eta, G, _, _, _, _ = projective
    same(G, table(lambda b, i, j, r: eta[b, i, j, r] / eta[b, i, j, 2], 2, 3, 4, 2))


def test_formula_63(projective):
    r"""d\eta_{b,p,r} = \frac{1}{\eta_{b,p,2}} \thinspace dG_{b,p,r}"""
    _, eta, _, _, dG, _, _ = projective
    _, (deta,), _ = differentiate(quotients, eta, cotangent=dG)
    same(deta[..., :2], table(lambda b, i, j, r: dG[b, i, j, r] / eta[b, i, j, 2], 2, 3, 4, 2))


def test_formula_64(projective):
    r"""
    d\eta_{b,p,2} = -\frac{1}{\eta_{b,p,2}} \left( G_{b,p,0} \thinspace dG_{b,p,0} + G_{b,p,1} \thinspace dG_{b,p,1}
    \right)
    """
    _, eta, G, _, dG, _, _ = projective
    _, (deta,), _ = differentiate(quotients, eta, cotangent=dG)

    def entry(*p):
        return -1 / eta[p][2] * (G[p][0] * dG[p][0] + G[p][1] * dG[p][1])

    same(deta[..., 2], table(entry, 2, 3, 4))


def test_formula_65(projective):
    r"""
    d\theta_{b,r,0} = \sum_p d\eta_{b,p,r} \thinspace x_j, \qquad d\theta_{b,r,1} = \sum_p d\eta_{b,p,r} \thinspace
    y_i, \qquad d\theta_{b,r,2} = \sum_p d\eta_{b,p,r}
    """
    _, eta, _, dtheta, dG, x, y = projective
    _, (deta,), _ = differentiate(quotients, eta, cotangent=dG)
    same(dtheta[..., 0], table(lambda b, r: total(lambda i, j: deta[b, i, j, r] * x[j], 3, 4), 2, 3))
    same(dtheta[..., 1], table(lambda b, r: total(lambda i, j: deta[b, i, j, r] * y[i], 3, 4), 2, 3))
    same(dtheta[..., 2], table(lambda b, r: total(lambda i, j: deta[b, i, j, r], 3, 4), 2, 3))


def phi(distance):
    return distance**2 * math.log(distance) if distance else 0.0


class Spline:
    """Six control points xi, their points zeta, the grid of 3 x 4 places chi, the coefficients by (69)."""

    def __init__(self, rng):
        self.xi = np.array([[-1, -0.9], [0.8, -1], [0, 0.1], [-0.7, 0.9], [1, 0.8], [0.3, -0.4]])
        self.zeta = self.xi + rng.uniform(-0.3, 0.3, (2, 6, 2))
        G, (self.dzeta,), dG = differentiate(lambda zeta: F.tps_grid(zeta, self.xi, (3, 4)), self.zeta)
        self.G, self.dG = G.reshape(2, 12, 2), dG.reshape(2, 12, 2)
        self.chi = np.array([(2 * j / 3 - 1, 2 * i / 2 - 1) for i, j in np.ndindex(3, 4)])
        self.Omega = tps_grid.spline_matrix(self.xi.tobytes(), 3, 4, np.dtype(float)).T
        solved = tps_grid.coefficients(self.xi.tobytes())  # (9, 6)
        self.omega = table(lambda b, r, k: total(lambda l: solved[k, l] * self.zeta[b, l, r], 6), 2, 2, 6)
        self.beta = table(lambda b, r, m: total(lambda l: solved[6 + m, l] * self.zeta[b, l, r], 6), 2, 2, 3)

    def psi(self, b, r, chi):
        plane = self.beta[b, r, 0] + self.beta[b, r, 1] * chi[0] + self.beta[b, r, 2] * chi[1]
        return plane + total(lambda k: self.omega[b, r, k] * phi(math.dist(chi, self.xi[k])), 6)


@pytest.fixture
def spline(rng):
    return Spline(rng)


def test_formula_66(spline):
    r"""\phi(\delta) = \delta^2 \ln \delta, \qquad \phi(0) = 0"""
    expected = table(lambda k, l: phi(math.dist(spline.xi[k], spline.xi[l])), 6, 6)
    same(tps_grid.radial(spline.xi, spline.xi), expected)


def test_formula_67(spline):
    r"""
    \psi_{b,r}(\chi) = \beta_{b,r,0} + \beta_{b,r,1} \thinspace \chi_0 + \beta_{b,r,2} \thinspace \chi_1 + \sum_k
    \omega_{b,r,k} \thinspace \phi(|\chi - \xi_k|)
    """
    same(spline.G, table(lambda b, p, r: spline.psi(b, r, spline.chi[p]), 2, 12, 2))


def test_formula_68(spline):
    r"""
    \psi_{b,r}(\xi_k) = \zeta_{b,k,r}, \qquad \sum_k \omega_{b,r,k} = 0, \qquad \sum_k \omega_{b,r,k} \thinspace
    \xi_{k,0} = 0, \qquad \sum_k \omega_{b,r,k} \thinspace \xi_{k,1} = 0
    """
    same(table(lambda b, k, r: spline.psi(b, r, spline.xi[k]), 2, 6, 2), spline.zeta)
    for b, r in np.ndindex(2, 2):
        omega = spline.omega[b, r]
        assert np.abs(omega).max() > 0.01
        assert abs(total(lambda k: omega[k], 6)) < 1e-13
        for axis in 0, 1:
            assert abs(total(lambda k: omega[k] * spline.xi[k, axis], 6)) < 1e-13


def system(xi):
    """Gamma."""
    Gamma = np.zeros((9, 9))
    for k, l in np.ndindex(6, 6):
        Gamma[k, l] = phi(math.dist(xi[k], xi[l]))
    for k in range(6):
        Gamma[k, 6:] = Gamma[6:, k] = 1, xi[k, 0], xi[k, 1]
    return Gamma


def test_formula_69(spline):
    r"""
    \Gamma = \begin{pmatrix} \phi(|\xi_k - \xi_l|) & 1 & \xi_{k,0} & \xi_{k,1} \cr 1 & 0 & 0 & 0 \cr \xi_{l,0} & 0 &
    0 & 0 \cr \xi_{l,1} & 0 & 0 & 0 \end{pmatrix}, \qquad \Gamma \begin{pmatrix} \omega_{b,r} \cr \beta_{b,r}
    \end{pmatrix} = \begin{pmatrix} \zeta_{b,r} \cr 0 \end{pmatrix}
    """
    for b, r in np.ndindex(2, 2):
        unknown = np.concatenate([spline.omega[b, r], spline.beta[b, r]])
        same(system(spline.xi) @ unknown, np.concatenate([spline.zeta[b, :, r], np.zeros(3)]))


def test_formula_70(spline):
    r"""\Omega_{p,k} = \sum_l \Phi_{p,l} \Xi_{l,k}"""
    Xi = np.linalg.inv(system(spline.xi))
    Phi = [[*(phi(math.dist(chi, xi)) for xi in spline.xi), 1, *chi] for chi in spline.chi]
    same(spline.Omega, table(lambda p, k: total(lambda l: Phi[p][l] * Xi[l, k], 9), 12, 6))


def test_formula_71(spline):
    r"""G_{b,p,r} = \sum_k \Omega_{p,k} \thinspace \zeta_{b,k,r}"""
    Omega, zeta = spline.Omega, spline.zeta
    same(spline.G, table(lambda b, p, r: total(lambda k: Omega[p, k] * zeta[b, k, r], 6), 2, 12, 2))


def test_formula_72(spline):
    r"""d\zeta_{b,k,r} = \sum_p \Omega_{p,k} \thinspace dG_{b,p,r}"""
    Omega, dG = spline.Omega, spline.dG
    same(spline.dzeta, table(lambda b, k, r: total(lambda p: Omega[p, k] * dG[b, p, r], 12), 2, 6, 2))


def test_formula_73(spline):
    r"""\sum_k \Omega_{p,k} = 1, \qquad \sum_k \Omega_{p,k} \thinspace \xi_{k,r} = \chi_{p,r}"""
    Omega, xi = spline.Omega, spline.xi
    same(table(lambda p: total(lambda k: Omega[p, k], 6), 12), np.ones(12))
    same(table(lambda p, r: total(lambda k: Omega[p, k] * xi[k, r], 6), 12, 2), spline.chi)


def kappa(delta):
    d = abs(delta)
    near, far = 5 / 4 * d**3 - 9 / 4 * d**2 + 1, -3 / 4 * d**3 + 15 / 4 * d**2 - 6 * d + 3
    return near * (d <= 1) + far * (1 < d < 2)


def kappa_slope(delta):
    d, sign = abs(delta), int(delta > 0) - int(delta < 0)
    return sign * ((15 / 4 * d**2 - 9 / 2 * d) * (d <= 1) + (-9 / 4 * d**2 + 15 / 2 * d - 6) * (1 < d < 2))


@pytest.fixture(params=itertools.product([True, False], [contextlib.nullcontext, reference]), ids=str)
def bicubic(request, rng):
    """U, V, dU, dG, dV, and the points in pixels; outside U is 0."""
    align_corners, kernels = request.param
    U, G = rng.standard_normal((2, 2, H, W)), rng.uniform(-1.6, 1.6, (2, 3, 4, 2))
    sample = functools.partial(F.grid_sample, mode="bicubic", align_corners=align_corners)
    with kernels():
        V, (dU, dG), dV = differentiate(sample, U, G)
    G, V, dV, dG = G.reshape(2, 12, 2), V.reshape(2, 2, 12), dV.reshape(2, 2, 12), dG.reshape(2, 12, 2)
    x, y = to_pixels(G[..., 0], W, align_corners), to_pixels(G[..., 1], H, align_corners)
    return U, V, dU, dG / factors(align_corners), dV, x, y


def test_formula_74():
    r"""
    \kappa(\delta) = \left( \frac{5}{4} |\delta|^3 - \frac{9}{4} |\delta|^2 + 1 \right) [|\delta| \leq 1] + \left(
    -\frac{3}{4} |\delta|^3 + \frac{15}{4} |\delta|^2 - 6 |\delta| + 3 \right) [1 \lt |\delta| \lt 2]
    """
    x = np.linspace(-3, 7, 81)
    G = np.stack([x * 2 / (W - 1) - 1, np.full(81, -1.0)], axis=-1)[None, None]  # along row 0
    for m in range(W):
        U = one_hot((0, 0, 0, m), (1, 1, H, W))
        V = F.grid_sample(Tensor(U), Tensor(G), mode="bicubic", align_corners=True).data
        same(V[0, 0, 0], table(lambda p, m=m: kappa(x[p] - m), 81))


def test_formula_75(rng):
    r"""\sum_m \kappa(x - m) = 1"""
    w, dw = np.empty(4), np.empty(4)
    for fraction in rng.uniform(0, 1, 20):
        grid_sample_bicubic.weights_and_slopes(fraction, w, dw)
        same(total(lambda m: kappa(fraction - (m - 5)), 11), 1.0)
        same(w, table(lambda l: kappa(fraction - (l - 1)), 4))
        same(dw, table(lambda l: kappa_slope(fraction - (l - 1)), 4))


def test_formula_76(bicubic):
    r"""
    V_{b,c,p} = \sum_n \sum_m U_{b,c,n,m} \thinspace \kappa(x_{b,p} - m) \thinspace \kappa(y_{b,p} - n)
    """
    U, V, _, _, _, x, y = bicubic

    def entry(b, c, p):
        return total(lambda n, m: U[b, c, n, m] * kappa(x[b, p] - m) * kappa(y[b, p] - n), H, W)

    same(V, table(entry, 2, 2, 12))


def test_formula_77():
    r"""
    \kappa'(\delta) = \left( [\delta \gt 0] - [\delta \lt 0] \right) \left( \left( \frac{15}{4} |\delta|^2 -
    \frac{9}{2} |\delta| \right) [|\delta| \leq 1] + \left( -\frac{9}{4} |\delta|^2 + \frac{15}{2} |\delta| - 6
    \right) [1 \lt |\delta| \lt 2] \right)
    """
    x = np.linspace(-3, 7, 81)
    G = np.stack([x * 2 / (W - 1) - 1, np.full(81, -1.0)], axis=-1)[None, None]
    sample = functools.partial(F.grid_sample, mode="bicubic", align_corners=True)
    for m in range(W):
        U = one_hot((0, 0, 0, m), (1, 1, H, W))
        _, (_, dG), _ = differentiate(sample, U, G, cotangent=np.ones((1, 1, 1, 81)))
        same(dG[0, 0, :, 0] * 2 / (W - 1), table(lambda p, m=m: kappa_slope(x[p] - m), 81))
    for delta in -1.6, -0.3, 0.0, 0.7, 1.0, 1.9, 2.5:
        assert kappa_slope(delta) == pytest.approx((kappa(delta + 1e-6) - kappa(delta - 1e-6)) / 2e-6, abs=1e-5)


def test_formula_78(bicubic):
    r"""
    dU_{b,c,n,m} = \sum_p dV_{b,c,p} \thinspace \kappa(x_{b,p} - m) \thinspace \kappa(y_{b,p} - n)
    """
    _, _, dU, _, dV, x, y = bicubic

    def entry(b, c, n, m):
        return total(lambda p: dV[b, c, p] * kappa(x[b, p] - m) * kappa(y[b, p] - n), 12)

    same(dU, table(entry, 2, 2, H, W))


def test_formula_79(bicubic):
    r"""
    dx_{b,p} = \sum_c dV_{b,c,p} \sum_n \sum_m U_{b,c,n,m} \thinspace \kappa'(x_{b,p} - m) \thinspace \kappa(y_{b,p}
    - n)
    """
    U, _, _, dxy, dV, x, y = bicubic

    def along(slope, other):
        def entry(b, p):
            def term(c, n, m):
                return dV[b, c, p] * U[b, c, n, m] * slope(x[b, p] - m) * other(y[b, p] - n)

            return total(term, 2, H, W)

        return table(entry, 2, 12)

    same(dxy[..., 0], along(kappa_slope, kappa))
    same(dxy[..., 1], along(kappa, kappa_slope))


@pytest.fixture
def attention(rng):
    """The parameters (lambda, tau_0, tau_1), theta by (80), the gradients of a grid of 3 x 4."""
    parameters = rng.uniform(-0.5, 1.5, (2, 3))
    G, (dparameters,), dG = differentiate(lambda p: Attention().grid(p, (3, 4)), parameters)
    theta = np.array([[[scale, 0, shift_x], [0, scale, shift_y]] for scale, shift_x, shift_y in parameters])
    return theta, G, dparameters, dG


def generate(theta):
    return F.affine_grid(theta, (2, 1, 3, 4), align_corners=True)


def test_formula_80(attention):
    r"""\theta_b = \begin{pmatrix} \lambda_b & 0 & \tau_{b,0} \cr 0 & \lambda_b & \tau_{b,1} \end{pmatrix}"""
    theta, G, _, _ = attention
    same(G, generate(Tensor(theta)).data)


def test_formula_81(attention):
    r"""
    d\lambda_b = d\theta_{b,0,0} + d\theta_{b,1,1}, \qquad d\tau_{b,r} = d\theta_{b,r,2}
    """
    theta, _, dparameters, dG = attention
    _, (dtheta,), _ = differentiate(generate, theta, cotangent=dG)
    same(dparameters[:, 0], table(lambda b: dtheta[b, 0, 0] + dtheta[b, 1, 1], 2))
    same(dparameters[:, 1:], table(lambda b, r: dtheta[b, r, 2], 2, 2))


def test_formula_82(attention):
    r"""
    d\lambda_b = \sum_p \left( x_j \thinspace dG_{b,p,0} + y_i \thinspace dG_{b,p,1} \right), \qquad d\tau_{b,r} =
    \sum_p dG_{b,p,r}
    """
    _, _, dparameters, dG = attention
    x, y = [2 * j / 3 - 1 for j in range(4)], [2 * i / 2 - 1 for i in range(3)]

    def scale(b):
        return total(lambda i, j: x[j] * dG[b, i, j, 0] + y[i] * dG[b, i, j, 1], 3, 4)

    same(dparameters[:, 0], table(scale, 2))
    same(dparameters[:, 1:], table(lambda b, r: total(lambda i, j: dG[b, i, j, r], 3, 4), 2, 2))


class Linearly(npstn.nn.Module):
    """A localisation network of one product: the parameters are linear in the image."""

    def __init__(self, weight):
        self.weight = npstn.nn.Parameter(weight)

    def forward(self, U):
        return U.reshape(len(U), math.prod(U.shape[1:])) @ self.weight


def transformer_of(rng, transformer, C=2):
    count = len(transformer.identity)
    return models.SpatialTransformer(Linearly(rng.normal(0, 0.2, (C * H * W, count))), transformer)


@pytest.fixture
def side_by_side(rng):
    U = rng.standard_normal((2, 2, H, W))
    readers = [transformer_of(rng, Rotation()), transformer_of(rng, Attention()), transformer_of(rng, Rotation())]
    net = models.SideBySide(readers, npstn.nn.Sequential())  # everything that is read, as it is
    V, (dU,), dV = differentiate(net, U)
    return U, readers, V, dU, dV


def test_formula_83(side_by_side):
    r"""V_{b,\nu C + c,i,j} = V^\nu_{b,c,i,j}"""
    U, readers, V, _, _ = side_by_side
    for nu, transformer in enumerate(readers):
        alone = transformer(Tensor(U)).data
        same(table(lambda b, c, i, j, nu=nu: V[b, nu * 2 + c, i, j], 2, 2, H, W), alone)


def test_formula_84(side_by_side):
    r"""dU_{b,c,n,m} = \sum_\nu dU^\nu_{b,c,n,m}"""
    U, readers, _, dU, dV = side_by_side
    parts = [np.array(dV[:, 2 * nu : 2 * nu + 2]) for nu in range(3)]
    each = [differentiate(one, U, cotangent=part)[1][0] for one, part in zip(readers, parts, strict=True)]
    same(dU, table(lambda *index: sum(dU_of_one[index] for dU_of_one in each), 2, 2, H, W))


def test_formula_85(rng):
    r"""
    dV^1_{b,c,n,m} = \sum_p dV^2_{b,c,p} \thinspace \Lambda(x^2_{b,p} - m) \thinspace \Lambda(y^2_{b,p} - n) + da^2_b
    \frac{\partial a^2_b}{\partial V^1_{b,c,n,m}}
    """
    U = rng.standard_normal((2, 2, H, W))
    first, second = transformer_of(rng, Rotation()), transformer_of(rng, Rotation())
    V1 = first(Tensor(U)).data
    look = second.look(Tensor(V1))
    V2, (dV1,), dV2 = differentiate(second, V1)
    x2 = to_pixels(look.grid.data[..., 0], W, True).reshape(2, -1)
    y2 = to_pixels(look.grid.data[..., 1], H, True).reshape(2, -1)
    grid = functools.partial(Rotation().grid, size=(H, W))

    def sampled(a):
        return F.grid_sample(Tensor(V1), grid(a), align_corners=True)

    _, (da2,), _ = differentiate(sampled, look.parameters.data, cotangent=dV2)
    slope = second.loc_net.weight.data.reshape(2, H, W)  # of the angle in the image
    dV2 = dV2.reshape(2, 2, -1)

    def entry(b, c, n, m):
        shares = total(lambda p: dV2[b, c, p] * tent(x2[b, p] - m) * tent(y2[b, p] - n), H * W)
        return shares + da2[b, 0] * slope[c, n, m]

    expected = table(entry, 2, 2, H, W)
    same(dV1, expected)

    # And the chain goes on with it, as the text says.
    row = npstn.nn.Sequential(first, second)
    _, (dU,), _ = differentiate(row, U, cotangent=dV2.reshape(V2.shape))
    _, (expected_dU,), _ = differentiate(first, U, cotangent=expected)
    same(dU, expected_dU)


# 23: volumes


@pytest.fixture
def volume(rng):
    """A volume read at points, some of them outside, and the gradients of all three."""
    U, G = rng.standard_normal((2, 2, 3, H, W)), rng.uniform(-1.2, 1.2, (2, 2, 1, 4, 3))
    V, (dU, dG), dV = differentiate(functools.partial(F.grid_sample, align_corners=True), U, G)
    x, y, z = (to_pixels(G[..., r].reshape(2, 8), n, True) for r, n in enumerate((W, H, 3)))
    dV, dG = dV.reshape(2, 2, 8), dG.reshape(2, 8, 3)
    return SimpleNamespace(U=U, V=V.reshape(2, 2, 8), x=x, y=y, z=z, dU=dU, dG=dG, dV=dV)


def in_slice(volume, l, b, c, p):
    """The image sampler in slice l of a volume, 0 where there is none."""
    x, y = volume.x, volume.y
    if not 0 <= l < 3:
        return 0.0
    return total(lambda n, m: volume.U[b, c, l, n, m] * tent(x[b, p] - m) * tent(y[b, p] - n), H, W)


def test_formula_86(rng):
    r"""
    z_{b,p} = (G_{b,p,2} + 1) \frac{D - 1}{2} \quad (\mathrm{align \enspace corners}), \qquad z_{b,p} =
    (G_{b,p,2} + 1) \frac{D}{2} - \frac{1}{2} \quad (\mathrm{else})
    """
    g = rng.uniform(-0.6, 0.6, 20)
    G = np.stack([0 * g, 0 * g, g], axis=-1)[None, :, None, None]
    ramp = np.arange(4.0).reshape(1, 1, 4, 1, 1)  # each slice holds its number
    for align_corners, z in ((True, lambda p: (g[p] + 1) * 3 / 2), (False, lambda p: (g[p] + 1) * 4 / 2 - 1 / 2)):
        V = F.grid_sample(Tensor(ramp), Tensor(G), align_corners=align_corners).data
        same(V[0, 0, :, 0, 0], table(z, 20))


def test_formula_87(volume):
    r"""
    V_{b,c,p} = \sum_l \sum_n \sum_m U_{b,c,l,n,m} \thinspace \Lambda(x_{b,p} - m) \thinspace \Lambda(y_{b,p} -
    n) \thinspace \Lambda(z_{b,p} - l)
    """
    U, x, y, z = volume.U, volume.x, volume.y, volume.z

    def entry(b, c, p):
        def term(l, n, m):
            return U[b, c, l, n, m] * tent(x[b, p] - m) * tent(y[b, p] - n) * tent(z[b, p] - l)

        return total(term, 3, H, W)

    same(volume.V, table(entry, 2, 2, 8))


def test_formula_88(volume):
    r"""V_{b,c,p} = (1 - f_z) V^0_{b,c,p} + f_z V^1_{b,c,p}"""

    def entry(b, c, p):
        l = math.floor(volume.z[b, p])
        fz = volume.z[b, p] - l
        return (1 - fz) * in_slice(volume, l, b, c, p) + fz * in_slice(volume, l + 1, b, c, p)

    same(volume.V, table(entry, 2, 2, 8))


def test_formula_89(volume):
    r"""
    dU_{b,c,l,n,m} = \sum_p dV_{b,c,p} \thinspace \Lambda(x_{b,p} - m) \thinspace \Lambda(y_{b,p} - n)
    \thinspace \Lambda(z_{b,p} - l)
    """
    x, y, z, dV = volume.x, volume.y, volume.z, volume.dV

    def entry(b, c, l, n, m):
        return total(lambda p: dV[b, c, p] * tent(x[b, p] - m) * tent(y[b, p] - n) * tent(z[b, p] - l), 8)

    same(volume.dU, table(entry, 2, 2, 3, H, W))


def test_formula_90(volume):
    r"""
    dz_{b,p} = \sum_c dV_{b,c,p} \sum_l \sum_n \sum_m U_{b,c,l,n,m} \thinspace \Lambda(x_{b,p} - m) \thinspace
    \Lambda(y_{b,p} - n) \thinspace \Lambda'(z_{b,p} - l)
    """
    x, y, z, U, dV = volume.x, volume.y, volume.z, volume.U, volume.dV

    def entry(b, p):
        def term(c, l, n, m):
            weight = tent(x[b, p] - m) * tent(y[b, p] - n) * tent_slope(z[b, p] - l)
            return dV[b, c, p] * U[b, c, l, n, m] * weight

        return total(term, 2, 3, H, W)

    same(volume.dG[..., 2], table(entry, 2, 8) * (3 - 1) / 2)


def test_formula_91(volume):
    r"""
    dz_{b,p} = \sum_c dV_{b,c,p} \left( V^1_{b,c,p} - V^0_{b,c,p} \right), \qquad dG_{b,p,2} = \sigma_z
    \thinspace dz_{b,p}
    """
    sigma_z = (3 - 1) / 2

    def dz(b, p):
        l = math.floor(volume.z[b, p])
        return total(
            lambda c: volume.dV[b, c, p] * (in_slice(volume, l + 1, b, c, p) - in_slice(volume, l, b, c, p)), 2
        )

    same(volume.dG[..., 2], sigma_z * table(dz, 2, 8))


def test_formula_92(rng):
    r"""
    G_{b,k,i,j,r} = \theta_{b,r,0} \thinspace x_j + \theta_{b,r,1} \thinspace y_i + \theta_{b,r,2} \thinspace
    z_k + \theta_{b,r,3}
    """
    theta = rng.standard_normal((2, 3, 4))
    G = F.affine_grid(Tensor(theta), (2, 1, 2, 3, 4), align_corners=True).data
    z, y, x = ([2 * k / (n - 1) - 1 for k in range(n)] for n in (2, 3, 4))

    def entry(b, k, i, j, r):
        return theta[b, r, 0] * x[j] + theta[b, r, 1] * y[i] + theta[b, r, 2] * z[k] + theta[b, r, 3]

    same(G, table(entry, 2, 2, 3, 4, 3))


def test_formula_93(rng):
    r"""
    d\theta_{b,r,2} = \sum_k \sum_i \sum_j dG_{b,k,i,j,r} \thinspace z_k, \qquad d\theta_{b,r,3} = \sum_k \sum_i
    \sum_j dG_{b,k,i,j,r}
    """
    generate = functools.partial(F.affine_grid, size=(2, 1, 2, 3, 4), align_corners=True)
    _, (dtheta,), dG = differentiate(generate, rng.standard_normal((2, 3, 4)))
    z = [-1, 1]
    along_z = table(lambda b, r: total(lambda k, i, j: dG[b, k, i, j, r] * z[k], 2, 3, 4), 2, 3)
    same(dtheta[:, :, 2], along_z)
    same(dtheta[:, :, 3], table(lambda b, r: total(lambda k, i, j: dG[b, k, i, j, r], 2, 3, 4), 2, 3))


# The text itself

FORMULA = re.compile(r"^\$\$(.*)\$\$$", re.M)
NUMBER = re.compile(r" \\tag\{(\w+)\}$")
REFERENCE = re.compile(
    r"\[`(?P<file>[\w./]+)`: `[\w.]+`\]\(\.\./(?P<link>[\w./]+)\)"
    r" - test \[`(?P<test>\w+)`\]\(\.\./tests/test_derivation\.py\)"
)


@functools.cache
def names_in(path):
    """The functions and classes of a Python file, methods as Class.method."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{method.name}" for method in node.body if isinstance(method, ast.FunctionDef)}
    return names


def slug(heading):
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@functools.cache
def words_of_the_sources():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "npstn").rglob("*.py")]
    return set(re.findall(r"\w+", "\n".join(sources)))


def faults(text, tests):
    """The faults in the formulas, names and links of a text, against the tests that exist, by name."""
    found = []
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    if text.count("$$") != 2 * len(FORMULA.findall(prose)):
        found.append("a displayed formula is not on a line of its own")

    # Each formula has a number, below it the code and the test of that number, and is the docstring of that test.
    numbers = []
    for match in FORMULA.finditer(prose):
        number = NUMBER.search(match[1])
        if number is None:
            found.append(f"no number: {match[1]}")
            continue
        name = f"test_formula_{number[1]}"
        numbers.append(number[1])
        below = prose[match.end() :].lstrip("\n").split("\n")[0]
        reference = REFERENCE.fullmatch(below)
        if reference is None:
            found.append(f"({number[1]}): no code and test below it, but {below!r}")
        elif reference["test"] != name:
            found.append(f"({number[1]}): the test below it is {reference['test']}")
        elif reference["link"] != reference["file"]:
            found.append(f"({number[1]}): the link leads to {reference['link']}")
        if name not in tests:
            found.append(f"({number[1]}) has no test")
        elif " ".join((tests[name].__doc__ or "").split()) != NUMBER.sub("", match[1]):
            found.append(f"({number[1]}) is another formula than its test's")
    plain = [int(number) for number in numbers if number.isdigit()]
    if plain != list(range(1, len(plain) + 1)):
        found.append(f"the numbers are not 1, 2, 3 ...: {plain}")
    of_tests = {match[1] for name in tests if (match := re.fullmatch(r"test_formula_([0-9]+|E[0-9]+)", name))}
    found += [f"test_formula_{number}: no such formula" for number in sorted(of_tests - set(numbers))]
    mentioned = re.findall(r"(?<![\w$({,.])\((\d+)\)", prose)
    found += [f"({number}) is mentioned, but there is none" for number in mentioned if number not in numbers]

    # Names: `file`, `file`: `function`, and every other name.
    for file, name in re.findall(r"`(npstn/[\w./]+)`: `([\w.]+)`", text):
        if (ROOT / file).exists() and name not in names_in(ROOT / file):
            found.append(f"{file} has no {name}")
    code = re.findall(r"`([^`]+)`", prose)
    found += [f"{file} does not exist" for file in code if "/" in file and not (ROOT / file).exists()]
    words = [re.sub(r"^F\.|\W.*", "", name) for name in code if "/" not in name and not name.startswith("test_")]
    found += [f"{word} is nowhere in the sources" for word in words if word not in words_of_the_sources()]
    found += [f"{name}: no such test" for name in re.findall(r"`(test_\w+)`", text) if name not in tests]
    found += [f"F.{name} does not exist" for name in re.findall(r"`F\.(\w+)", text) if not hasattr(F, name)]

    # Links, to files and to headings.
    anchors = {slug(heading) for heading in re.findall(r"^#+ (.*)$", prose, re.M)}
    for target in re.findall(r"\]\(([^)]*)\)", prose):
        if target.startswith("#"):
            found += [] if target[1:] in anchors else [f"no heading {target}"]
        elif not target.startswith("https://") and not (ROOT / "docs" / target).exists():
            found.append(f"no file {target}")
    return found + math_faults(prose)


def math_faults(prose):
    """Formulas that Markdown would change: GitHub reads the text as Markdown before it typesets them."""
    displayed = FORMULA.findall(prose)
    found, inline = [], []
    for paragraph in re.split(r"\n\n+|^\|", FORMULA.sub("", prose), flags=re.M):
        code = re.sub(r"`[^`]*`", "code", paragraph)
        if code.count("$") % 2:
            found.append(f"an odd number of $ in: {paragraph}")
        inline += re.findall(r"\$([^$]*)\$", code)
        # Where $ touches a letter, it is a dollar.
        for left, formula, right in re.findall(r"(?<!\$)(.?)\$([^$]+)\$(.?)", code, re.S):
            if left not in ("", " ", "\n", "(", "*") or right not in ("", " ", "\n", ")", ".", ",", ":", ";", "?"):
                found.append(f"{left}${formula}${right} touches its neighbours")
            if formula != formula.strip():
                found.append(f"${formula}$ begins or ends with a space")
    forbidden = {
        r"\\[^a-zA-Z]": "a backslash before punctuation is Markdown's",
        r"[^a-zA-Z0-9]_": "an underscore that may begin an emphasis",
        r"\*": "a star may begin an emphasis",
        r"[<>]": "may begin HTML: use \\lt, \\gt",
        r"\]\(": "a link",
        r"frac\{d": "a plain derivative: write it with the round \\partial, d and a name is a gradient of the loss",
        r"\\(operatorname|mbox|phantom|newcommand|def)": "a macro that GitHub does not allow",
    }
    for formula, (pattern, why) in itertools.product(displayed + inline, forbidden.items()):
        if re.search(pattern, formula):
            found.append(f"{formula}: {why}")
    return found


TESTS = {name: test for name, test in globals().items() if name.startswith("test_")}


def test_text_and_tests_name_each_other():
    source = Path(__file__).read_text(encoding="utf-8")
    defined = re.findall(r"^def (test_\w+)", source, re.M)
    assert len(defined) == len(set(defined)), "two tests of one name"
    assert faults(TEXT, TESTS) == []


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (r"\tag{7}$$", r"\tag{7}$$" + "\n\n" + r"$$x = 1 \tag{999}$$", "(999) has no test"),
        (r"\tag{7}$$", "$$", "no number"),
        (r"\tag{7}$$", r"\tag{8}$$", "the test below it is test_formula_7"),
        ("test_formula_7`", "test_formula_777`", "test_formula_777: no such test"),
        ("`grid_sample_backward_grid`", "`grid_sample_backward_points`", "has no grid_sample_backward_points"),
        ("`NllLoss.backward`", "`NllLoss.backwards`", "has no NllLoss.backwards"),
        ("`npstn/ops/rotation.py`", "`npstn/ops/turn.py`", "npstn/ops/turn.py does not exist"),
        ("`F.dropout2d`", "`F.dropout3d`", "F.dropout3d does not exist"),
        ("(../npstn/ops/rotation.py) - test", "(../npstn/ops/linear.py) - test", "the link leads to"),
        ("derivation_tents.png", "derivation_tent.png", "no file"),
        ("(#13-the-angle)", "(#13-an-angle)", "no heading"),
        ("Put this into (1)", "Put this into (99)", "(99) is mentioned"),
        (r"$\pi_{b,k} = ", r"$\pi\_{b,k} = ", "a backslash before punctuation"),
        (r"$V$ stays", r"$V $ stays", "ends with a space"),
        (r"\frac{\partial x'}{\partial x}", r"\frac{dx'}{dx}", "a plain derivative"),
        (r"\Lambda'(x_{b,p} - m)", r"\Lambda(x_{b,p} - m)", "(32) is another formula than its test's"),
        ("`STNClsNet`", "`STNModel`", "STNModel is nowhere in the sources"),
    ],
)
def test_a_mistake_in_the_text_is_found(before, after, fault):
    assert before in TEXT
    assert any(fault in found for found in faults(TEXT.replace(before, after, 1), TESTS))


def test_a_formula_lost_and_a_test_lost_are_found():
    without = re.sub(r"^.*\\tag\{59\}.*\n\n.*\n", "", TEXT, flags=re.M)
    assert "test_formula_59: no such formula" in faults(without, TESTS)
    assert "(60) has no test" in faults(TEXT, {name: test for name, test in TESTS.items() if name != "test_formula_60"})


def test_snippets_print_what_the_text_says():
    snippets = "\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S))
    example = doctest.DocTestParser().get_doctest(snippets, {}, "docs/derivation.md", "docs/derivation.md", 0)
    assert len(example.examples) > 20
    report = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert not report, "".join(report)


# The pictures


@pytest.fixture(scope="module")
def program():
    return loaded("make_pictures")


def loaded(name):
    """A program of docs."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_walk_goes_down_the_curve():
    """With a transformer that is told nothing yet: the points lie on the curve, and each step follows its line."""
    walk, (images, labels) = loaded("make_walk"), draw_digits(1, seed=0)
    npstn.manual_seed(0)
    image = images[:1] / np.float32(255)
    curves = [figure.axes[1] for figure in walk.walk(models.STNClsNet(), image, int(labels[0]))]
    curve, line, _ = (line.get_xydata() for line in curves[0].lines)
    points = np.concatenate([axes.lines[-1].get_xydata() for axes in curves])
    assert len(points) == walk.STEPS + 1 and points[0, 0] == 0
    assert np.abs(np.interp(points[:, 0], *curve.T) - points[:, 1]).max() < 1e-3
    (left, below), (right, above) = line
    slope = np.degrees((above - below) / (right - left))  # per radian
    assert np.radians(points[1, 0]) == pytest.approx(-walk.RATE * slope, rel=1e-3)
    assert "](pictures/derivation_walk.gif)" in TEXT and walk.FILE.stat().st_size < 300_000


def test_pictures_linked_are_those_drawn(program):
    linked = set(re.findall(r"\]\(pictures/(derivation_\w+)\.png\)", TEXT))
    files = {path.stem: path for path in (ROOT / "docs" / "pictures").glob("derivation_*.png")}
    assert linked == set(files) == set(program.PICTURES)
    assert all(path.stat().st_size < 100_000 for path in files.values())


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="thousands of angles, too many for plain Python")
def test_pictures_program_runs(program):
    for draw in program.PICTURES.values():
        assert draw().axes
