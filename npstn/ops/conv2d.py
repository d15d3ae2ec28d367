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

so that V and the gradients are sums over such images:

    V_o = bias[o] + sum_q weight[o, q] R_q
    dweight[o, q] = sum_b sum_{i, j} dV_o R_q        dR_q = sum_o weight[o, q] dV_o

`spread` lays the R_q out in memory; `gather`, its transpose, adds the dR_q up into dU. Taps whose k differ by stride_y
read the same lines of U, one line further down: these are laid out once, and R_q is the piece of them from start[q] on.
Small images make short pieces, and short loops are slow; so a few samples are stacked, pixel by pixel: p is (i, j, s)
with s a sample of the stack.

Parallel over runs of samples, each with buffers of its own. For dweight and dbias each run adds up a part; how many
runs there are follows from the shapes alone, and the parts are added in order: the number of threads changes no bit.
Source: the formulas are those of Goodfellow et al., Deep Learning, section 9.5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from npstn.autograd import Context, Function, Tensor
from npstn.ops.checks import check_floats, check_shape, contiguous, pair, window_positions
from npstn.runtime import kernel

RUNS = 8  # at most so many runs of samples: enough for as many threads
PIECE = 512  # numbers in a piece, about: in shorter ones the inner loops do not get into their stride


@kernel
def plan(B, h, w):
    """How many samples make a stack, and how many runs there are: an even number, so that two threads share alike."""
    samples = max(1, min(B, PIECE // (h * w)))
    stacks = (B + samples - 1) // samples
    return samples, min(B, RUNS, stacks + stacks % 2)


@kernel
def buffers(C, S, h, w, geometry, dtype):
    """Memory for a stack of S samples (see `stack`), for its pieces (see `spread`), and where each piece starts."""
    K, L, stride_y, stride_x, _, _ = geometry
    lines = h + (K - 1) // stride_y
    T = np.zeros((C, lines * stride_y, (w - 1) * stride_x + L, S), dtype)
    R = np.empty((C, min(K, stride_y), L, lines, w * S), dtype)
    start = np.empty(C * K * L, np.intp)
    for q in range(start.size):
        c, k, l = q // (K * L), q // L % K, q % L
        start[q] = (((c * R.shape[1] + k % stride_y) * L + l) * lines + k // stride_y) * w * S
    return T, R, start


@kernel
def stack(U, padding_y, padding_x, T):
    """T[c, n, m, s]: the samples U (S, C, H, W) pixel by pixel, moved down and right by the padding."""
    for s in range(U.shape[0]):
        for c in range(U.shape[1]):
            for n in range(min(U.shape[2], T.shape[1] - padding_y)):
                for m in range(min(U.shape[3], T.shape[2] - padding_x)):
                    T[c, n + padding_y, m + padding_x, s] = U[s, c, n, m]


@kernel
def unstack(T, padding_y, padding_x, U):
    """The transpose of `stack`; pixels of U (S, C, H, W) that are not in the stack stay as they are."""
    for s in range(U.shape[0]):
        for c in range(U.shape[1]):
            for n in range(min(U.shape[2], T.shape[1] - padding_y)):
                for m in range(min(U.shape[3], T.shape[2] - padding_x)):
                    U[s, c, n, m] = T[c, n + padding_y, m + padding_x, s]


@kernel
def stacked(V):
    """The images V (S, O, h, w), stacked: (O, (i, j, s)). A stack of one is the sample itself."""
    S, O, h, w = V.shape
    if S == 1:
        return V.reshape(O, h * w)
    V_S = np.empty((O, h * w * S), V.dtype)
    stack(V.reshape(S, 1, 1, O * h * w), 0, 0, V_S.reshape(1, 1, O * h * w, S))
    return V_S


@kernel
def spread(T, stride_y, stride_x, R):
    """R[c, k, l, r, (j, s)] = T[c, r stride_y + k, j stride_x + l, s], line by line."""
    C, height, width, S = T.shape
    _, K, L, lines, N = R.shape
    T, R = T.reshape(T.size), R.reshape(R.size)
    at = 0
    for c in range(C):
        for k in range(K):
            for l in range(L):
                for r in range(lines):
                    pixels, line = T[((c * height + r * stride_y + k) * width + l) * S :], R[at : at + N]
                    if stride_x == 1:
                        for p in range(N):
                            line[p] = pixels[p]
                    else:
                        for p in range(N):
                            line[p] = pixels[p // S * stride_x * S + p % S]
                    at += N


@kernel
def gather(dR, stride_y, stride_x, dT):
    """The transpose of `spread`: each pixel of the stack is the sum of the places where it was laid out."""
    C, height, width, S = dT.shape
    _, K, L, lines, N = dR.shape
    dT, dR = dT.reshape(dT.size), dR.reshape(dR.size)
    at = 0
    for c in range(C):
        for k in range(K):
            for l in range(L):
                for r in range(lines):
                    pixels, line = dT[((c * height + r * stride_y + k) * width + l) * S :], dR[at : at + N]
                    if stride_x == 1:
                        for p in range(N):
                            pixels[p] += line[p]
                    else:
                        for p in range(N):
                            pixels[p // S * stride_x * S + p % S] += line[p]
                    at += N


@kernel(fastmath={"contract"})
def add_four(f0, f1, f2, f3, X, x, Y0, Y1, Y2, Y3):
    """Four rows of `add_products`, four taps at a time: each number that is read serves four products.

    One row and five taps at a time reach two thirds of this speed: then most of the work is reading.
    """
    N, taps = Y0.size, x.size
    for q in range(0, taps - 3, 4):
        A, a0, a1, a2, a3 = X[x[q] :][:N], f0[q], f1[q], f2[q], f3[q]
        B, b0, b1, b2, b3 = X[x[q + 1] :][:N], f0[q + 1], f1[q + 1], f2[q + 1], f3[q + 1]
        C, c0, c1, c2, c3 = X[x[q + 2] :][:N], f0[q + 2], f1[q + 2], f2[q + 2], f3[q + 2]
        D, d0, d1, d2, d3 = X[x[q + 3] :][:N], f0[q + 3], f1[q + 3], f2[q + 3], f3[q + 3]
        for p in range(N):
            t, u, v, w = A[p], B[p], C[p], D[p]  # once for all four: a quarter off the time
            Y0[p] = Y0[p] + a0 * t + b0 * u + c0 * v + d0 * w
            Y1[p] = Y1[p] + a1 * t + b1 * u + c1 * v + d1 * w
            Y2[p] = Y2[p] + a2 * t + b2 * u + c2 * v + d2 * w
            Y3[p] = Y3[p] + a3 * t + b3 * u + c3 * v + d3 * w
    for q in range(taps - taps % 4, taps):
        A, a0, a1, a2, a3 = X[x[q] :][:N], f0[q], f1[q], f2[q], f3[q]
        for p in range(N):
            u = A[p]
            Y0[p] += a0 * u
            Y1[p] += a1 * u
            Y2[p] += a2 * u
            Y3[p] += a3 * u


@kernel
def add_products(F, X, x, Y, y, N):
    """Y[y[r] + p] += sum_q F[r, q] X[x[q] + p]: a product of matrices whose rows are pieces of X and Y."""
    rows = len(F)
    for r in range(0, rows - 3, 4):
        Y0, Y1, Y2, Y3 = Y[y[r] :][:N], Y[y[r + 1] :][:N], Y[y[r + 2] :][:N], Y[y[r + 3] :][:N]
        add_four(F[r], F[r + 1], F[r + 2], F[r + 3], X, x, Y0, Y1, Y2, Y3)
    left = rows % 4
    if left:
        spare = np.zeros((3, N), Y.dtype)
        r = rows - left
        Y0 = Y[y[r] :][:N]
        Y1 = Y[y[r + 1] :][:N] if left > 1 else spare[0]
        Y2 = Y[y[r + 2] :][:N] if left > 2 else spare[1]
        add_four(F[r], F[min(r + 1, rows - 1)], F[min(r + 2, rows - 1)], F[r], X, x, Y0, Y1, Y2, spare[2])


@kernel(fastmath={"contract", "reassoc"})
def add_four_transposed(f0, f1, f2, f3, X, x, Y0, Y1, Y2, Y3):
    """Four rows of `add_products_transposed`, three taps at a time: as many sums as there are vector registers for."""
    N, taps = Y0.size, x.size
    zero = Y0.dtype.type(0)
    for q in range(0, taps - 2, 3):
        A, B, C = X[x[q] :][:N], X[x[q + 1] :][:N], X[x[q + 2] :][:N]
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
        f0[q] += a0
        f1[q] += a1
        f2[q] += a2
        f3[q] += a3
        f0[q + 1] += b0
        f1[q + 1] += b1
        f2[q + 1] += b2
        f3[q + 1] += b3
        f0[q + 2] += c0
        f1[q + 2] += c1
        f2[q + 2] += c2
        f3[q + 2] += c3
    for q in range(taps - taps % 3, taps):
        A = X[x[q] :][:N]
        a0 = a1 = a2 = a3 = zero
        for p in range(N):
            a0 += A[p] * Y0[p]
            a1 += A[p] * Y1[p]
            a2 += A[p] * Y2[p]
            a3 += A[p] * Y3[p]
        f0[q] += a0
        f1[q] += a1
        f2[q] += a2
        f3[q] += a3


@kernel
def add_products_transposed(dY, y, X, x, N, dF):
    """dF[r, q] += sum_p dY[y[r] + p] X[x[q] + p]."""
    rows, taps = dF.shape
    spare = np.zeros((3, taps), dF.dtype)
    for r in range(0, rows, 4):
        r1, r2, r3 = min(r + 1, rows - 1), min(r + 2, rows - 1), min(r + 3, rows - 1)
        Y0, Y1, Y2, Y3 = dY[y[r] :][:N], dY[y[r1] :][:N], dY[y[r2] :][:N], dY[y[r3] :][:N]
        f0, f1 = dF[r], dF[r1] if r + 1 < rows else spare[0]
        f2, f3 = dF[r2] if r + 2 < rows else spare[1], dF[r3] if r + 3 < rows else spare[2]
        add_four_transposed(f0, f1, f2, f3, X, x, Y0, Y1, Y2, Y3)


@kernel(fastmath={"reassoc"})
def add_up(x):
    """The sum of all x[p]."""
    total = x.dtype.type(0)
    for p in range(x.size):
        total += x[p]
    return total


@kernel
def forward(U, F, bias, geometry, samples, V):
    """V of a run of samples, stack by stack."""
    _, _, stride_y, stride_x, padding_y, padding_x = geometry
    B, O, h, w = V.shape
    for b in range(0, B, samples):
        S = min(samples, B - b)
        T, R, start = buffers(U.shape[1], S, h, w, geometry, U.dtype)
        stack(U[b : b + S], padding_y, padding_x, T)
        spread(T, stride_y, stride_x, R)
        R = R.reshape(R.size)
        V_S = V[b].reshape(O, h * w) if S == 1 else np.empty((O, h * w * S), V.dtype)
        for o in range(O):
            V_S[o] = bias[o]
        start_o = np.arange(O) * (h * w * S)
        add_products(F, R, start, V_S.reshape(V_S.size), start_o, h * w * S)
        if S > 1:
            unstack(V_S.reshape(1, 1, O * h * w, S), 0, 0, V[b : b + S].reshape(S, 1, 1, O * h * w))


@kernel
def backward_weight(U, dV, geometry, samples, dF, dbias):
    """dF and dbias of a run of samples."""
    _, _, stride_y, stride_x, padding_y, padding_x = geometry
    B, O, h, w = dV.shape
    dF[:] = 0
    dbias[:] = 0
    for b in range(0, B, samples):
        S = min(samples, B - b)
        T, R, start = buffers(U.shape[1], S, h, w, geometry, U.dtype)
        stack(U[b : b + S], padding_y, padding_x, T)
        spread(T, stride_y, stride_x, R)
        R, dV_S = R.reshape(R.size), stacked(dV[b : b + S])
        start_o = np.arange(O) * (h * w * S)
        add_products_transposed(dV_S.reshape(dV_S.size), start_o, R, start, h * w * S, dF)
        for o in range(O):
            dbias[o] += add_up(dV_S[o])


@kernel
def backward_input(dV, F_T, geometry, samples, dU):
    """dU of a run of samples."""
    _, _, stride_y, stride_x, padding_y, padding_x = geometry
    B, O, h, w = dV.shape
    dU[:] = 0
    for b in range(0, B, samples):
        S = min(samples, B - b)
        dT, dR, start = buffers(dU.shape[1], S, h, w, geometry, dV.dtype)
        dV_S, dR_flat = stacked(dV[b : b + S]).reshape(O * h * w * S), dR.reshape(dR.size)
        start_o = np.arange(O) * (h * w * S)
        dR[:] = 0
        add_products(F_T, dV_S, start_o, dR_flat, start, h * w * S)
        gather(dR, stride_y, stride_x, dT)
        unstack(dT, padding_y, padding_x, dU[b : b + S])


@kernel(parallel=True)
def conv2d_forward(U, F, bias, geometry, V):
    samples, runs = plan(len(V), V.shape[2], V.shape[3])
    for run in prange(runs):
        first, end = run * len(U) // runs, (run + 1) * len(U) // runs
        forward(U[first:end], F, bias, geometry, samples, V[first:end])


@kernel(parallel=True)
def conv2d_backward_weight(U, dV, geometry, parts, parts_bias):
    samples, runs = plan(len(dV), dV.shape[2], dV.shape[3])
    for run in prange(runs):
        first, end = run * len(U) // runs, (run + 1) * len(U) // runs
        backward_weight(U[first:end], dV[first:end], geometry, samples, parts[run], parts_bias[run])


@kernel(parallel=True)
def conv2d_backward_input(dV, F_T, geometry, dU):
    samples, runs = plan(len(dV), dV.shape[2], dV.shape[3])
    for run in prange(runs):
        first, end = run * len(dU) // runs, (run + 1) * len(dU) // runs
        backward_input(dV[first:end], F_T, geometry, samples, dU[first:end])


class Conv2d(Function):
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
        U, F = contiguous(U), contiguous(weight).reshape(O, C * K * L)
        bias = np.zeros(O, U.dtype) if bias is None else contiguous(bias)
        ctx.save_for_backward(U, F)
        # A stride beyond the image is never taken, but memory would be laid out for it.
        stride = tuple(min(s, n + 2 * p) for s, n, p in zip(stride, U.shape[2:], padding, strict=True))
        ctx.geometry = K, L, *stride, *padding
        V = np.empty((U.shape[0], O, h, w), U.dtype)
        conv2d_forward(U, F, bias, ctx.geometry, V)
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        U, F = ctx.saved
        K, L, *_ = ctx.geometry
        need_U, need_weight, need_bias, *_ = ctx.needs_input_grad
        dV = contiguous(dV)
        dU = dweight = dbias = None
        if need_U:
            dU = np.empty_like(U)
            conv2d_backward_input(dV, F.T.copy(), ctx.geometry, dU)
        if need_weight or need_bias:
            _, runs = plan(len(dV), *dV.shape[2:])
            parts, parts_bias = np.empty((runs, *F.shape), F.dtype), np.empty((runs, len(F)), F.dtype)
            conv2d_backward_weight(U, dV, ctx.geometry, parts, parts_bias)
            # The first run first, whoever did it.
            dweight = parts.sum(axis=0).reshape(len(F), U.shape[1], K, L) if need_weight else None
            dbias = parts_bias.sum(axis=0) if need_bias else None
        return dU, dweight, dbias, None, None


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
