"""The convolution (a cross-correlation, as everywhere in deep learning): V = U * W + bias.

    b          a sample of the batch, 0 .. B-1
    c, o       an input channel, 0 .. C-1; an output channel, 0 .. O-1
    k, l       row and column in the filter, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   weight (O, C, K, L)   bias (O)   V (B, O, h, w)

    V[b, o, i, j] = bias[o] + sum_{c, k, l} weight[o, c, k, l] U[b, c, n, m]
    with n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l,  and U = 0 outside the image

so h = floor((H + 2 padding_y - K) / stride_y) + 1, and w alike. By the chain rule, with dV = d loss / d V:

    dweight[o, c, k, l] = sum_{b, i, j} dV[b, o, i, j] U[b, c, n, m]
    dbias[o]            = sum_{b, i, j} dV[b, o, i, j]
    dU[b, c, n, m]      = sum of weight[o, c, k, l] dV[b, o, i, j] over all (o, k, l, i, j) that read the pixel

For one tap q = (c, k, l) of the filters, the pixels that the outputs of a sample read make an image of h x w pixels:

    R_q[i, j] = U[b, c, n, m]

so that V and the gradients are sums over such images, and the bias is the weight of one more tap, which reads 1:

    V_o = sum_q F_oq R_q        dF_oq = sum_b sum_{i, j} dV_o R_q        dR_q = sum_o F_oq dV_o

`phases` takes padding and stride away. `spread` lays the R_q out in memory; `gather`, its transpose, adds the dR_q up
into dU. Taps whose k differ read the same lines of U, one line further down: these are laid out once, and R_q is the
piece of them from start[q] on. Small images make short pieces, and short loops are slow; so a few samples are stacked,
pixel by pixel: p is (i, j, s) with s a sample of the stack.

Stacks are shared out to threads. For dF each of at most RUNS runs of stacks adds up a part: how many there are follows
from the shapes alone, and the parts are added in order, so the number of threads changes no bit.
Source: the formulas are those of Goodfellow et al., Deep Learning, section 9.5.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_floats, check_shape, contiguous, pair, rows
from npstn.ops.windows import window_positions
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out

RUNS = 8  # at most so many parts of dF: enough for as many threads
PIECE = 512  # numbers in a piece, about: in shorter ones the inner loops do not get into their stride


def plan(B: int, h: int, w: int) -> tuple[int, int]:
    """How many samples make a stack, and how many stacks there are: an even number, so that two threads share alike."""
    stacks = -(-B // max(1, PIECE // (h * w)))
    samples = -(-B // max(1, stacks + stacks % 2))
    return max(1, samples), -(-B // max(1, samples))


def phases(U: np.ndarray, lines: int, columns: int, stride: tuple, padding: tuple) -> np.ndarray:
    """The padded images, apart by line and column modulo stride: (B, C stride_y stride_x, lines, columns).

    Convolved with stride 1 and no padding, these give what the images do with theirs.
    """
    B, C, H, W = U.shape
    P = np.zeros((B, C, lines * stride[0], columns * stride[1]), U.dtype)
    inner = P[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W]
    inner[...] = U[:, :, : inner.shape[2], : inner.shape[3]]
    P = P.reshape(B, C, lines, stride[0], columns, stride[1]).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(P).reshape(B, C * stride[0] * stride[1], lines, columns)


def unphased(dP: np.ndarray, shape: tuple, stride: tuple, padding: tuple) -> np.ndarray:
    """The transpose of `phases`: from the gradient of what it gives, that of the images, of this shape."""
    B, C, H, W = shape
    _, _, lines, columns = dP.shape
    dP = dP.reshape(B, C, *stride, lines, columns).transpose(0, 1, 4, 2, 5, 3)
    dP = dP.reshape(B, C, lines * stride[0], columns * stride[1])[:, :, padding[0] :, padding[1] :][:, :, :H, :W]
    dU = np.zeros(shape, dP.dtype)
    dU[:, :, : dP.shape[2], : dP.shape[3]] = dP
    return dU


@functools.lru_cache(maxsize=64)  # a training loop asks for the same ones at each step
def starts(O: int, C: int, K: int, L: int, stride: tuple, lines: int, columns: int, h: int, w: int) -> tuple:
    """Where the piece of each tap q starts in what `spread` lays out, that of the bias, and three more of ones; and
    where that of each output o starts, and three more: so that outputs and taps can be taken four at a time.
    """
    c, k, l = np.indices((C, K, L)).reshape(3, C * K * L)
    image = (c * stride[0] + k % stride[0]) * stride[1] + l % stride[1]
    tap = ((image * (columns - w + 1) + l // stride[1]) * lines + k // stride[0]) * w
    ones = C * stride[0] * stride[1] * (columns - w + 1) * lines * w
    return np.concatenate([tap, ones + np.arange(4) * h * w]), np.arange(O + 3) * h * w


@kernel
def stack(U, b, S, T):
    """T[p, s] = U[b + s, p]: S samples, number by number."""
    for s in range(S):
        for p in range(U.shape[1]):
            T[p * S + s] = U[b + s, p]


@kernel
def unstack(T, b, S, U):
    """The transpose of `stack`."""
    for s in range(S):
        for p in range(U.shape[1]):
            U[b + s, p] = T[p * S + s]


@kernel
def spread(T, C, H, W, h, w, S, R):
    """The lines r of the stack T (C, H, W, S) from column x on, for each channel c and each x; then pieces of ones."""
    N, at = w * S, 0
    for c in range(C):
        for x in range(W - w + 1):
            for r in range(H):
                pixels, line = T[((c * H + r) * W + x) * S :], R[at : at + N]
                for p in range(N):
                    line[p] = pixels[p]
                at += N
    for p in range(at, at + 4 * h * N):
        R[p] = 1


@kernel
def gather(dR, C, H, W, w, S, dT):
    """The transpose of `spread`: each pixel of the stack is the sum of the places where it was laid out."""
    for p in range(C * H * W * S):
        dT[p] = 0
    N, at = w * S, 0
    for c in range(C):
        for x in range(W - w + 1):
            for r in range(H):
                pixels, line = dT[((c * H + r) * W + x) * S :], dR[at : at + N]
                for p in range(N):
                    pixels[p] += line[p]
                at += N


@kernel(fastmath={"contract"})
def add_products(F, X, x, Y, y, S, N):
    """Y[y[r] S + p] += sum_q F[r, q] X[x[q] S + p]: a product of matrices whose rows are pieces of X and Y.

    Four rows and four taps at a time: each number that is read serves four products. One row and five taps at a time
    reach two thirds of this speed: then most of the work is reading. The four rows are a quarter of all apart: those of
    neighbouring taps may overlap, and to write four at a time of which two do takes four times as long.
    """
    quarter = F.shape[0] // 4
    for r0 in range(quarter):
        r1, r2, r3 = r0 + quarter, r0 + 2 * quarter, r0 + 3 * quarter
        Y0, Y1, Y2, Y3 = Y[y[r0] * S :][:N], Y[y[r1] * S :][:N], Y[y[r2] * S :][:N], Y[y[r3] * S :][:N]
        for q in range(0, F.shape[1] - 3, 4):
            A, B, C, D = X[x[q] * S :][:N], X[x[q + 1] * S :][:N], X[x[q + 2] * S :][:N], X[x[q + 3] * S :][:N]
            a0, b0, c0, d0 = F[r0, q], F[r0, q + 1], F[r0, q + 2], F[r0, q + 3]
            a1, b1, c1, d1 = F[r1, q], F[r1, q + 1], F[r1, q + 2], F[r1, q + 3]
            a2, b2, c2, d2 = F[r2, q], F[r2, q + 1], F[r2, q + 2], F[r2, q + 3]
            a3, b3, c3, d3 = F[r3, q], F[r3, q + 1], F[r3, q + 2], F[r3, q + 3]
            for p in range(N):
                t, u, v, w = A[p], B[p], C[p], D[p]  # once for all four: a quarter off the time
                Y0[p] = Y0[p] + a0 * t + b0 * u + c0 * v + d0 * w
                Y1[p] = Y1[p] + a1 * t + b1 * u + c1 * v + d1 * w
                Y2[p] = Y2[p] + a2 * t + b2 * u + c2 * v + d2 * w
                Y3[p] = Y3[p] + a3 * t + b3 * u + c3 * v + d3 * w


@kernel(fastmath={"contract", "reassoc"})
def add_products_transposed(dY, y, X, x, S, N, dF):
    """dF[r, q] += sum_p dY[y[r] S + p] X[x[q] S + p]: four rows and three taps at a time, as many sums as there are
    vector registers for."""
    zero = dF.dtype.type(0)
    for r in range(0, dF.shape[0] - 3, 4):
        Y0, Y1, Y2, Y3 = dY[y[r] * S :][:N], dY[y[r + 1] * S :][:N], dY[y[r + 2] * S :][:N], dY[y[r + 3] * S :][:N]
        for q in range(0, dF.shape[1] - 3, 3):
            A, B, C = X[x[q] * S :][:N], X[x[q + 1] * S :][:N], X[x[q + 2] * S :][:N]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = zero
            for p in range(N):
                a0 += A[p] * Y0[p]
                b0 += B[p] * Y0[p]
                c0 += C[p] * Y0[p]
                a1 += A[p] * Y1[p]
                b1 += B[p] * Y1[p]
                c1 += C[p] * Y1[p]
                a2 += A[p] * Y2[p]
                b2 += B[p] * Y2[p]
                c2 += C[p] * Y2[p]
                a3 += A[p] * Y3[p]
                b3 += B[p] * Y3[p]
                c3 += C[p] * Y3[p]
            sums = a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3
            for t in range(12):
                dF[r + t % 4, q + t // 4] += sums[t]


@kernel
def conv2d_forward(first, end, U, F, start, start_o, sizes, samples, V):
    """V of the stacks first .. end-1."""
    C, H, W, O, h, w = sizes
    T, R = np.empty(C * H * W * samples, U.dtype), np.empty((start[-1] + h * w) * samples, U.dtype)
    Y = np.empty((O + 3) * h * w * samples, U.dtype)
    for b in range(first * samples, min(end * samples, len(U)), samples):
        S = min(samples, len(U) - b)
        stack(U, b, S, T)
        spread(T, C, H, W, h, w, S, R)
        for p in range(Y.size):
            Y[p] = 0
        add_products(F, R, start, Y, start_o, S, h * w * S)
        unstack(Y, b, S, V)


@kernel
def conv2d_backward(first, end, U, dV, F_T, start, start_o, sizes, samples, need_U, need_F, dU, dF):
    """dU, and a part of dF for each, of the runs of stacks first .. end-1."""
    C, H, W, O, h, w = sizes
    T, R = np.empty(C * H * W * samples, U.dtype), np.empty((start[-1] + h * w) * samples, U.dtype)
    Y = np.empty((O + 3) * h * w * samples, U.dtype)
    stacks, runs = (len(U) + samples - 1) // samples, len(dF)
    for run in range(first, end):
        for b in range(run * stacks // runs * samples, min((run + 1) * stacks // runs * samples, len(U)), samples):
            S = min(samples, len(U) - b)
            N = h * w * S
            stack(dV, b, S, Y)
            for p in range(O * N, (O + 3) * N):
                Y[p] = 0
            if need_F:
                stack(U, b, S, T)
                spread(T, C, H, W, h, w, S, R)
                add_products_transposed(Y, start_o, R, start, S, N, dF[run])
            if need_U:
                for p in range((start[-1] + h * w) * S):
                    R[p] = 0
                add_products(F_T, Y, start_o, R, start, S, N)
                gather(R, C, H, W, w, S, T)
                unstack(T, b, S, dU)


class Conv2d(Function):
    gives_new_arrays = True

    @staticmethod
    def forward(ctx: Context, U: Any, weight: Any, bias: Any, stride: Any, padding: Any) -> np.ndarray:
        check_floats("conv2d", input=U, weight=weight)
        check_shape("conv2d", "input", U, "B, C, H, W")
        check_shape("conv2d", "weight", weight, f"O, {U.shape[1]}, K, L")
        O, C, K, L = weight.shape
        if bias is not None:
            check_floats("conv2d", input=U, bias=bias)
            check_shape("conv2d", "bias", bias, f"{O}")
        stride, padding = pair("conv2d", "stride", stride, 1), pair("conv2d", "padding", padding, 0)
        h, w = window_positions("conv2d", U.shape[2:], (K, L), stride, padding)
        ctx.shapes, ctx.windows = (U.shape, weight.shape), None
        if stride == (1, 1) and padding == (0, 0):
            U = contiguous(U)
        else:
            # A stride beyond the image is never taken, but memory would be laid out for it.
            stride = tuple(min(s, n + 2 * p) for s, n, p in zip(stride, U.shape[2:], padding, strict=True))
            ctx.windows = stride, padding
            U = phases(U, h + (K - 1) // stride[0], w + (L - 1) // stride[1], stride, padding)
        F = np.zeros((O + 3, C * K * L + 4), U.dtype)
        F[:O, :-4] = weight.reshape(O, C * K * L)
        if bias is not None:
            F[:O, -4] = bias
        ctx.starts, ctx.sizes = starts(O, C, K, L, stride, *U.shape[2:], h, w), (*U.shape[1:], O, h, w)
        ctx.save_for_backward(U, F)
        V = np.empty((len(U), O, h, w), U.dtype)
        samples, stacks = plan(len(U), h, w)
        share_out(conv2d_forward, stacks, rows(U), F, *ctx.starts, ctx.sizes, samples, rows(V))
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        U, F = ctx.saved
        shape, (O, C, K, L) = ctx.shapes
        need_U, need_weight, need_bias, *_ = ctx.needs_input_grad
        need_F = need_weight or need_bias
        samples, stacks = plan(len(dV), *dV.shape[2:])
        runs = min(stacks, RUNS)
        dU, parts = np.empty(U.shape if need_U else (0, 0, 0, 0), U.dtype), np.zeros((runs, *F.shape), F.dtype)
        share_out(
            conv2d_backward,
            runs,
            rows(U),
            rows(contiguous(dV)),
            F.T.copy(),
            *ctx.starts,
            ctx.sizes,
            samples,
            need_U,
            need_F,
            rows(dU),
            parts,
        )
        if need_U and ctx.windows:
            dU = unphased(dU, shape, *ctx.windows)
        dF = parts.sum(axis=0)  # the first run first, whoever did it
        dweight = dF[:O, :-4].reshape(O, C, K, L).copy() if need_weight else None
        return dU if need_U else None, dweight, dF[:O, -4].copy() if need_bias else None, None, None


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Convolve each image of a batch with each filter.

    Args:
        input: (B, C, H, W).
        weight: (O, C, K, L), O filters.
        bias: (O,) or None.
        stride: pixels from one output to the next, at least 1; one number, or (rows, columns).
        padding: pixels of zeros round the image, at least 0; one number, or (rows, columns).

    Returns (B, O, h, w), h = floor((H + 2 padding - K) / stride) + 1 and w alike, in the inputs' dtype. Raises
    TypeError for dtypes other than one of float32 and float64, ValueError for shapes that do not fit and for a filter
    larger than the padded image.

    >>> conv2d(Tensor([[[[1.0, 2.0, 3.0]]]]), Tensor([[[[1.0, -1.0]]]])).data
    array([[[[-1., -1.]]]], dtype=float32)
    """
    return Conv2d.apply(input, weight, bias, stride, padding)
