"""The fast kernels of the convolution. The formula, and its own loops, stand in `conv2d.py`.

    b, s           a sample of the batch, a sample of a stack
    c, o           an input channel, an output channel
    k, l           row and column in the filter, 0 .. K-1, 0 .. L-1
    q              a tap (c, k, l) of the filters; the last one, q = C K L, is the bias
    i, j           row and column in the output, 0 .. h-1, 0 .. w-1
    p              a place in a piece of memory: (i, j, s), or (row, column, s)
    U (B, C, H, W)   V (B, O, h, w)   F (O, taps): the weights, row by row, and the bias

1. For one tap, the pixels that the outputs of a sample read make an image of h x w pixels, R_q[i, j] = U[b, c, n, m].
   V and the gradients are sums over such images. The bias is the weight of one more tap, which reads 1 everywhere:

    V_o = sum_q F_oq R_q        dF_oq = sum_b sum_{i, j} dV_o R_q        dR_q = sum_o F_oq dV_o

   so that the work is three products of matrices: `add_products` and `add_products_transposed`.

2. `phases` takes padding and stride away. It puts zeros round each image, and takes it apart into images whose rows and
   columns are a stride apart. Convolved with stride 1 and no padding these give the same V; `unphased` goes back.

3. `spread` lays the R_q out in memory. Taps whose k differ read the same lines of a phase, one line further down. So
   the lines are laid out once for each first column, and R_q is the piece of them from its start on. `gather`, the
   transpose of `spread`, adds the dR_q up into the gradient of the phases.

4. Small images make short pieces, and short loops are slow. So a few samples are stacked, pixel by pixel: `stack`.

Stacks are shared out to threads. For dF each of at most RUNS runs of stacks adds up a part. How many runs there are
follows from the shapes alone, and the parts are added in order: the number of threads changes no bit. A long sum in
float32 loses digits. So a part is float64 where it adds up many stretches, of LONG numbers at most.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops.arguments import contiguous, rows

FEW = 512  # stretches in a run: float64 would cost a step of 64 samples 3 %, and sums of so few lose next to nothing
LONG = 2**12  # numbers in a stretch, which are added up in float32
RUNS = 8  # at most so many parts of dF: enough for as many threads
PIECE = 512  # numbers in a piece, about: in shorter ones the inner loops do not get into their stride

GROUP = 4  # pieces on each side that `add_products` takes at a time; written out there, so not to be changed here alone
NARROW_GROUP = 3  # taps that `add_products_transposed` takes at a time: 4 x 3 sums fill the vector registers
SPARE = GROUP - 1  # F has so many more outputs, and taps, all of weight 0: then the last group is full


def plan(B: int, h: int, w: int) -> tuple[int, int]:
    """How many samples make a stack, and how many stacks there are: an even number, so that two threads share alike."""
    stacks = -(-B // max(1, PIECE // (h * w)))
    per_stack = -(-B // max(1, stacks + stacks % 2))
    return max(1, per_stack), -(-B // max(1, per_stack))


def phases(U: np.ndarray, lines: int, columns: int, stride: tuple, padding: tuple) -> np.ndarray:
    """The padded images, taken apart by row and column modulo stride: (B, C stride_y stride_x, lines, columns)."""
    B, C, H, W = U.shape
    padded = np.zeros((B, C, lines * stride[0], columns * stride[1]), U.dtype)
    inner = padded[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W]
    inner[...] = U[:, :, : inner.shape[2], : inner.shape[3]]
    apart = padded.reshape(B, C, lines, stride[0], columns, stride[1]).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(apart).reshape(B, C * stride[0] * stride[1], lines, columns)


def unphased(dphases: np.ndarray, shape: tuple, stride: tuple, padding: tuple) -> np.ndarray:
    """The transpose of `phases`: from the gradient of the phases that of the images, of this shape."""
    B, C, H, W = shape
    _, _, lines, columns = dphases.shape
    together = dphases.reshape(B, C, *stride, lines, columns).transpose(0, 1, 4, 2, 5, 3)
    dpadded = together.reshape(B, C, lines * stride[0], columns * stride[1])
    inner = dpadded[:, :, padding[0] :, padding[1] :][:, :, :H, :W]
    dU = np.zeros(shape, dphases.dtype)
    dU[:, :, : inner.shape[2], : inner.shape[3]] = inner
    return dU


@functools.lru_cache(maxsize=64)  # a training loop asks for the same ones at each step
def starts(
    O: int, C: int, K: int, L: int, stride: tuple, lines: int, columns: int, h: int, w: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the piece of each tap starts in what `spread` lays out, and that of each output in V; the spare ones too.

    The bias and the spare taps read pieces of ones behind all the others. Counted in pixels of a stack.
    """
    c, k, l = np.indices((C, K, L)).reshape(3, C * K * L)
    phase = (c * stride[0] + k % stride[0]) * stride[1] + l % stride[1]
    of_weights = ((phase * (columns - w + 1) + l // stride[1]) * lines + k // stride[0]) * w
    ones = C * stride[0] * stride[1] * (columns - w + 1) * lines * w
    return np.concatenate([of_weights, ones + np.arange(1 + SPARE) * h * w]), np.arange(O + SPARE) * h * w


@kernel
def stack(images, b, samples, stacked):
    """stacked[p, s] = images[b + s, p]: some samples, number by number."""
    for s in range(samples):
        for p in range(images.shape[1]):
            stacked[p * samples + s] = images[b + s, p]


@kernel
def unstack(stacked, b, samples, images):
    """The transpose of `stack`."""
    for s in range(samples):
        for p in range(images.shape[1]):
            images[b + s, p] = stacked[p * samples + s]


@kernel
def spread(stacked, sizes, samples, R):
    """The lines of the stacked phases from each first column on, w columns of each; then pieces of ones."""
    count, lines, columns, _, h, w, _ = sizes
    length, at = w * samples, 0
    for phase in range(count):
        for column in range(columns - w + 1):
            for row in range(lines):
                pixels = stacked[((phase * lines + row) * columns + column) * samples :]
                line = R[at : at + length]
                for p in range(length):
                    line[p] = pixels[p]
                at += length
    for p in range(at, at + (1 + SPARE) * h * length):
        R[p] = 1


@kernel
def gather(dR, sizes, samples, dstacked):
    """The transpose of `spread`: each pixel of the stack is the sum of the places where it was laid out."""
    count, lines, columns, _, _, w, _ = sizes
    for p in range(count * lines * columns * samples):
        dstacked[p] = 0
    length, at = w * samples, 0
    for phase in range(count):
        for column in range(columns - w + 1):
            for row in range(lines):
                pixels = dstacked[((phase * lines + row) * columns + column) * samples :]
                line = dR[at : at + length]
                for p in range(length):
                    pixels[p] += line[p]
                at += length


@kernel(fastmath={"contract"})
def add_products(factors, read, read_start, written, write_start, samples, length):
    """written[write_start[r] + p] += sum_t factors[r, t] read[read_start[t] + p], with the starts counted in `samples`.

    A product of matrices: those that are read and written have a piece of memory for each of their rows, t and r.

    Four pieces are written and four read at a time (GROUP): each number that is read serves four products. One written
    and five read reach two thirds of this speed: then most of the work is reading. The four written are a quarter of
    all apart. Neighbouring ones may overlap, and to write into four pieces of which two do takes four times as long.
    """
    quarter = factors.shape[0] // GROUP
    for r0 in range(quarter):
        r1, r2, r3 = r0 + quarter, r0 + 2 * quarter, r0 + 3 * quarter
        to0, to1 = written[write_start[r0] * samples :][:length], written[write_start[r1] * samples :][:length]
        to2, to3 = written[write_start[r2] * samples :][:length], written[write_start[r3] * samples :][:length]
        for t in range(0, factors.shape[1] - SPARE, GROUP):
            of0, of1 = read[read_start[t] * samples :][:length], read[read_start[t + 1] * samples :][:length]
            of2, of3 = read[read_start[t + 2] * samples :][:length], read[read_start[t + 3] * samples :][:length]
            f00, f01, f02, f03 = factors[r0, t], factors[r0, t + 1], factors[r0, t + 2], factors[r0, t + 3]
            f10, f11, f12, f13 = factors[r1, t], factors[r1, t + 1], factors[r1, t + 2], factors[r1, t + 3]
            f20, f21, f22, f23 = factors[r2, t], factors[r2, t + 1], factors[r2, t + 2], factors[r2, t + 3]
            f30, f31, f32, f33 = factors[r3, t], factors[r3, t + 1], factors[r3, t + 2], factors[r3, t + 3]
            for p in range(length):
                e0, e1, e2, e3 = of0[p], of1[p], of2[p], of3[p]  # once for all four: a quarter off the time
                to0[p] = to0[p] + f00 * e0 + f01 * e1 + f02 * e2 + f03 * e3
                to1[p] = to1[p] + f10 * e0 + f11 * e1 + f12 * e2 + f13 * e3
                to2[p] = to2[p] + f20 * e0 + f21 * e1 + f22 * e2 + f23 * e3
                to3[p] = to3[p] + f30 * e0 + f31 * e1 + f32 * e2 + f33 * e3


@kernel(fastmath={"contract", "reassoc"})
def add_products_transposed(dV, V_start, R, R_start, samples, offset, length, dF):
    """dF[o, q] += sum_p dV[V_start[o] + offset + p] R[R_start[q] + offset + p], with the starts counted in `samples`.

    GROUP outputs and NARROW_GROUP taps at a time.
    """
    zero = dV.dtype.type(0)
    for o in range(0, dF.shape[0] - SPARE, GROUP):
        dV0, dV1 = dV[V_start[o] * samples + offset :][:length], dV[V_start[o + 1] * samples + offset :][:length]
        dV2, dV3 = dV[V_start[o + 2] * samples + offset :][:length], dV[V_start[o + 3] * samples + offset :][:length]
        for q in range(0, dF.shape[1] - SPARE, NARROW_GROUP):
            R0, R1 = R[R_start[q] * samples + offset :][:length], R[R_start[q + 1] * samples + offset :][:length]
            R2 = R[R_start[q + 2] * samples + offset :][:length]
            f00 = f10 = f20 = f30 = f01 = f11 = f21 = f31 = f02 = f12 = f22 = f32 = zero
            for p in range(length):
                f00 += R0[p] * dV0[p]
                f01 += R1[p] * dV0[p]
                f02 += R2[p] * dV0[p]
                f10 += R0[p] * dV1[p]
                f11 += R1[p] * dV1[p]
                f12 += R2[p] * dV1[p]
                f20 += R0[p] * dV2[p]
                f21 += R1[p] * dV2[p]
                f22 += R2[p] * dV2[p]
                f30 += R0[p] * dV3[p]
                f31 += R1[p] * dV3[p]
                f32 += R2[p] * dV3[p]
            sums = f00, f10, f20, f30, f01, f11, f21, f31, f02, f12, f22, f32
            for number in range(GROUP * NARROW_GROUP):
                dF[o + number % GROUP, q + number // GROUP] += sums[number]


@kernel
def conv2d_fast_forward(first, end, U, F, tap_start, output_start, sizes, V):
    """V of the stacks first .. end-1."""
    count, lines, columns, O, h, w, per_stack = sizes
    stacked = np.empty(count * lines * columns * per_stack, U.dtype)
    R = np.empty((tap_start[-1] + h * w) * per_stack, U.dtype)
    V_stacked = np.empty((O + SPARE) * h * w * per_stack, U.dtype)
    for b in range(first * per_stack, min(end * per_stack, len(U)), per_stack):
        samples = min(per_stack, len(U) - b)
        stack(U, b, samples, stacked)
        spread(stacked, sizes, samples, R)
        for p in range(V_stacked.size):
            V_stacked[p] = 0
        add_products(F, R, tap_start, V_stacked, output_start, samples, h * w * samples)
        unstack(V_stacked, b, samples, V)


@kernel
def conv2d_fast_backward(first, end, U, dV, F_transposed, tap_start, output_start, sizes, dU, dF):
    """dU, and a part of dF for each, of the runs of stacks first .. end-1. An empty dU or dF is not asked for."""
    count, lines, columns, O, h, w, per_stack = sizes
    stacked = np.empty(count * lines * columns * per_stack, U.dtype)
    R = np.empty((tap_start[-1] + h * w) * per_stack, U.dtype)
    dV_stacked = np.empty((O + SPARE) * h * w * per_stack, U.dtype)
    stacks, runs = (len(U) + per_stack - 1) // per_stack, len(dF)
    for run in range(first, end):
        b_first, b_end = run * stacks // runs * per_stack, (run + 1) * stacks // runs * per_stack
        for b in range(b_first, min(b_end, len(U)), per_stack):
            samples = min(per_stack, len(U) - b)
            length = h * w * samples
            stack(dV, b, samples, dV_stacked)
            for p in range(O * length, (O + SPARE) * length):
                dV_stacked[p] = 0
            if dF.size > 0:
                stack(U, b, samples, stacked)
                spread(stacked, sizes, samples, R)
                for offset in range(0, length, LONG):
                    some = min(LONG, length - offset)
                    add_products_transposed(dV_stacked, output_start, R, tap_start, samples, offset, some, dF[run])
            if dU.size > 0:
                for p in range((tap_start[-1] + h * w) * samples):
                    R[p] = 0
                add_products(F_transposed, dV_stacked, output_start, R, tap_start, samples, length)
                gather(R, sizes, samples, stacked)
                unstack(stacked, b, samples, dU)


def forward(U: np.ndarray, weight: np.ndarray, bias: Any, stride: tuple, padding: tuple, V: np.ndarray) -> tuple:
    """Write V, and return the first arguments of `backward`: the layout, and the arrays to save."""
    (B, C, H, W), (O, _, K, L), (h, w) = U.shape, weight.shape, V.shape[2:]
    windows = None
    if stride == (1, 1) and padding == (0, 0):
        U_phases = contiguous(U)
    else:
        # A stride beyond the image is never taken, but memory would be laid out for it.
        stride = min(stride[0], H + 2 * padding[0]), min(stride[1], W + 2 * padding[1])
        windows = stride, padding
        U_phases = phases(U, h + (K - 1) // stride[0], w + (L - 1) // stride[1], stride, padding)
    F = np.zeros((O + SPARE, C * K * L + 1 + SPARE), U.dtype)
    F[:O, : C * K * L] = weight.reshape(O, C * K * L)
    if bias is not None:
        F[:O, C * K * L] = bias
    per_stack, stacks = plan(B, h, w)
    sizes = *U_phases.shape[1:], O, h, w, per_stack
    places = starts(O, C, K, L, stride, *U_phases.shape[2:], h, w)
    share_out(conv2d_fast_forward, stacks, rows(U_phases), F, *places, sizes, rows(V))
    return (U.shape, weight.shape, windows, stacks, places, sizes), (U_phases, F)


def backward(layout: tuple, kept: tuple, dV: np.ndarray, needs: tuple) -> tuple:
    """Return the gradients (dU, dweight, dbias), and None for one that is not among the `needs`, three bools."""
    shape, (O, C, K, L), windows, stacks, places, sizes = layout
    (U_phases, F), (need_U, need_weight, need_bias) = kept, needs
    dU = np.empty(U_phases.shape if need_U else (0, 0, 0, 0), F.dtype)
    stretches = stacks * -(-sizes[4] * sizes[5] * sizes[6] // LONG)
    dtype = F.dtype if stretches <= RUNS * FEW else np.float64
    parts = np.zeros((min(stacks, RUNS), *(F.shape if need_weight or need_bias else (0, 0))), dtype)
    arrays = rows(U_phases), rows(dV), F.T.copy(), *places, sizes, rows(dU), parts
    share_out(conv2d_fast_backward, len(parts), *arrays)
    if need_U and windows:
        dU = unphased(dU, shape, *windows)
    dF = parts.sum(axis=0)  # the first run first, no matter which thread did it
    dweight = dF[:O, : C * K * L].astype(F.dtype).reshape(O, C, K, L) if need_weight else None
    dbias = dF[:O, C * K * L].astype(F.dtype) if need_bias else None
    return dU if need_U else None, dweight, dbias
