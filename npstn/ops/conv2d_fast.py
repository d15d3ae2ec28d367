"""The fast kernels of the convolution. The formula, and its own loops, stand in `conv2d.py`.

    b, s           a sample of the batch, a sample of a stack
    c, o           an input channel, an output channel
    k, l           row and column in the filter, 0 .. K-1, 0 .. L-1
    q              a tap (c, k, l) of the filters
    i, j           row and column in the output, 0 .. h-1, 0 .. w-1
    n              a line of the input
    p              a place in a piece of memory: (i, j, s), or (row, column, s)
    U (B, C, H, W)   V (B, O, h, w)   F (O, taps): the weights, row by row

1. Padding and stride are taken away (see `phases.py`). From here on U, dU and the filters are phases, of stride 1.

2. For one tap, the pixels that the outputs of a sample read make an image, R_q[i, j] = U[b, c, i+k, j+l]. V and the
   gradient of the weights are sums over such images:

    V_o = bias_o + sum_q F_oq R_q        dF_oq = sum_b sum_{i, j} dV_o R_q

   Taps whose k differ read the same lines, one line further down. So `spread` lays out the lines S once for each c and
   l, w columns of each, and R_q is the piece of them from line k on: S_cl[n, j] = U[b, c, n, j+l]. Its gradient is

    dS_cl[n, j] = sum_{o, k} F_o,ckl dV_o[n-k, j],  dV = 0 above and below its lines

   and `gather`, the transpose of `spread`, adds the dS up into the gradient of the phases.

3. All three are products of matrices whose rows are pieces of memory. For V and dS the sum runs over rows
   (`multiply_tiles`), for dF over places (`add_dot_products`). A tile of the result stays in the registers: see
   `backend/lanes.py`. In the kernels R is the memory of S, and dR that of dS. Pieces lie a `pitch` apart.

4. Small images make pieces that fill no tiles. So a few samples are stacked, pixel by pixel: `stack`.

Stacks are shared out to threads. For dF each of at most RUNS runs of stacks adds up a part. How many runs there are
follows from the shapes alone, and the parts are added in order: the number of threads changes no bit. A long sum in
float32 loses digits. So a part is float64 where it adds up many stretches, of LONG numbers at most.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from npstn.backend.compiler import kernel
from npstn.backend.lanes import (
    add_product, every, first_lanes, four, lane_count, lanes, plus, put, short_count, short_lanes, total, transposed,
)  # fmt: skip
from npstn.backend.parallel import share_out
from npstn.ops import phases
from npstn.ops.arguments import contiguous, planes

BLOCK = 96  # taps: three lanes of each are 18 kB at most
FEW = 512  # stretches in a run: float64 would cost a step of 64 samples 3 %, and sums of so few lose next to nothing
CACHE_LINE = 64  # bytes
CROWDED = 512  # bytes: rows that a multiple of these apart are copied before they are read, see `pitch_of`
LONG = 2**12  # numbers in a stretch, which are added up in float32
RUNS = 8  # at most so many parts of dF: enough for as many threads
LONGEST = 1600  # numbers in a piece of a stack: what is laid out for more leaves the cache
IN_PLACE = 240  # numbers of an output, five tiles: where no lines are laid out, a stack of more gains nothing


@functools.lru_cache(maxsize=64)  # a training loop asks for the same ones at each step
def plan(B: int, h: int, w: int, columns: int) -> tuple[int, int]:
    """How many samples make a stack, and how many stacks there are: two of two samples, so that two threads have work.

    In stacks of as many samples as lanes have numbers, all pieces begin at whole lanes: to read across two lines of the
    cache takes a tenth longer.
    """
    per_stack = next((samples for samples in (16, 8, 4) if samples * h * w <= LONGEST), 1)
    if columns == w and h * w >= IN_PLACE:  # nothing is laid out: see `spread`
        per_stack = 1
    per_stack = max(1, min(per_stack, -(-B // 2)))
    return per_stack, -(-B // per_stack)


@functools.lru_cache(maxsize=64)  # as above
def starts(C: int, K: int, L: int, stride: tuple, columns: int, w: int) -> np.ndarray:
    """Where R_q begins in what `spread` lays out, (taps, 2): the number of its piece S, and the first pixel there."""
    c, k, l = np.indices((C, K, L)).reshape(3, C * K * L)
    phase = (c * stride[0] + k % stride[0]) * stride[1] + l % stride[1]
    return np.stack([phase * (columns - w + 1) + l // stride[1], k // stride[0] * w], axis=1)


def of_lines(weight: np.ndarray, stride: tuple) -> np.ndarray:
    """The weights as dS needs them: a row for each phase and column l of the filters, in it (k, o)."""
    apart = phases.of_filters(weight, stride).transpose(1, 3, 2, 0)
    C, L, K, O = apart.shape
    return np.ascontiguousarray(apart).reshape(C * L, K * O)


@kernel
def empty_from_line(count, dtype):
    """Memory for some numbers; the first of them begins a line of the cache."""
    memory = np.empty(count + CACHE_LINE, dtype)  # so many numbers are more than a line
    first = -memory.ctypes.data % CACHE_LINE // memory.itemsize
    return memory[first : first + count]


@kernel
def pitch_of(numbers, memory):
    """How far apart pieces of so many numbers lie: an odd number of lines of the cache.

    By its address a line belongs to one of 64 sets of the nearest cache, and a set holds 8 or 12 lines. Pieces that lie
    1,024 bytes apart would all begin in four of these sets, and drive each other out; at 512 bytes it is eight.
    """
    in_line = CACHE_LINE // memory.itemsize
    return ((numbers + in_line - 1) // in_line | 1) * in_line


@kernel
def stack(images, b, samples, stacked, start, pitch):
    """stacked[start + r pitch + p samples + s] = images[b + s, r, p]: some samples, number by number.

    Four numbers of four samples are transposed in registers: one by one they take three times as long.
    """
    size = images.shape[2]
    in_fours = samples // 4 * 4 if size >= 4 else 0
    for r in range(images.shape[1]):
        first = start + r * pitch
        for s in range(0, in_fours, 4):  # within r: so a piece is in the cache until all samples are there
            U0, U1, U2, U3 = images[b + s, r], images[b + s + 1, r], images[b + s + 2, r], images[b + s + 3, r]
            for p in range(0, size, 4):
                p = min(p, size - 4)
                v0, v1, v2, v3 = transposed(four(U0, p), four(U1, p), four(U2, p), four(U3, p))
                at = first + p * samples + s
                put(stacked, at, v0), put(stacked, at + samples, v1)
                put(stacked, at + 2 * samples, v2), put(stacked, at + 3 * samples, v3)
        for s in range(in_fours, samples):
            image = images[b + s, r]
            whole = stacked[first : first + size]
            for p in range(size if samples == 1 else 0):  # the compiler does not see that numbers are neighbours below
                whole[p] = image[p]
            for p in range(0 if samples == 1 else size):
                stacked[first + p * samples + s] = image[p]


@kernel
def unstack(stacked, b, samples, pitch, images):
    """The transpose of `stack`."""
    size = images.shape[2]
    in_fours = samples // 4 * 4 if size >= 4 else 0
    for r in range(images.shape[1]):
        first = r * pitch
        for s in range(0, in_fours, 4):
            U0, U1, U2, U3 = images[b + s, r], images[b + s + 1, r], images[b + s + 2, r], images[b + s + 3, r]
            for p in range(0, size, 4):
                p = min(p, size - 4)
                at = first + p * samples + s
                v0, v1 = four(stacked, at), four(stacked, at + samples)
                v2, v3 = four(stacked, at + 2 * samples), four(stacked, at + 3 * samples)
                v0, v1, v2, v3 = transposed(v0, v1, v2, v3)
                put(U0, p, v0), put(U1, p, v1), put(U2, p, v2), put(U3, p, v3)
        for s in range(in_fours, samples):
            image = images[b + s, r]
            whole = stacked[first : first + size]
            for p in range(size if samples == 1 else 0):
                image[p] = whole[p]
            for p in range(0 if samples == 1 else size):
                image[p] = stacked[first + p * samples + s]


@kernel
def spread(stacked, sizes, samples, R, pitch):
    """The lines of the stacked phases from each first column on, w columns of each."""
    count, lines, columns, _, _, w, _ = sizes
    length, N = w * samples, short_count(R)
    for phase in range(count):
        for column in range(columns - w + 1):
            at = (phase * (columns - w + 1) + column) * pitch
            for row in range(lines):
                start = ((phase * lines + row) * columns + column) * samples
                for p in range(0, length if length >= N else 0, N):
                    p = min(p, length - N)
                    put(R, at + p, short_lanes(stacked, start + p))
                for p in range(0 if length >= N else length):
                    R[at + p] = stacked[start + p]
                at += length


@kernel
def gather(dR, pitch, sizes, samples, dstacked):
    """The transpose of `spread`: each pixel of the stack is the sum of the places where it was laid out."""
    count, lines, columns, _, _, w, _ = sizes
    for p in range(count * lines * columns * samples):
        dstacked[p] = 0
    length, N = w * samples, short_count(dR)
    for phase in range(count):
        for column in range(columns - w + 1):
            at = (phase * (columns - w + 1) + column) * pitch
            for row in range(lines):
                start, line = ((phase * lines + row) * columns + column) * samples, at + row * length
                whole = length // N * N
                for p in range(0, whole, N):
                    put(dstacked, start + p, plus(short_lanes(dstacked, start + p), short_lanes(dR, line + p)))
                for p in range(whole, length):
                    dstacked[start + p] += dR[line + p]


@kernel
def lay_out(U, b, samples, sizes, stacked, R, pitch):
    """The pieces S of some samples, stacked."""
    _, lines, columns, _, _, w, _ = sizes
    whole = columns == w  # each phase is a piece
    if whole or samples > 1:
        stack(U, b, samples, R if whole else stacked, 0, pitch if whole else lines * columns * samples)
    if not whole:
        spread(stacked if samples > 1 else U[b].reshape(-1), sizes, samples, R, pitch)


@kernel
def multiply_tiles(factors, first, end, read, start, p, initial, written, pitch):
    """written[r pitch + p ..] = initial[r] + sum_t factors[r, t] read[start[t] + p ..], t = first .. end-1.

    A tile is four rows r by three lanes of places. Its twelve sums stay in registers while t are added. For each t,
    seven numbers or lanes are read for twelve products, so that reading never holds them up. All rows take BLOCK of the
    t, whose lanes are in the nearest cache, and then the next BLOCK. Meanwhile their sums wait in `written`.
    """
    rows, N = factors.shape[0], lane_count(read)
    for t0 in range(first, max(end, first + 1), BLOCK):
        for r0 in range(0, rows, 4):
            # Where fewer than four rows are left, the last one is computed several times.
            r1, r2, r3 = min(r0 + 1, rows - 1), min(r0 + 2, rows - 1), min(r0 + 3, rows - 1)
            f0, f1, f2, f3 = factors[r0], factors[r1], factors[r2], factors[r3]
            at0, at1, at2, at3 = r0 * pitch + p, r1 * pitch + p, r2 * pitch + p, r3 * pitch + p
            if t0 == first:
                y00 = y01 = y02 = every(initial[r0])
                y10 = y11 = y12 = every(initial[r1])
                y20 = y21 = y22 = every(initial[r2])
                y30 = y31 = y32 = every(initial[r3])
            else:
                y00, y01, y02 = lanes(written, at0), lanes(written, at0 + N), lanes(written, at0 + 2 * N)
                y10, y11, y12 = lanes(written, at1), lanes(written, at1 + N), lanes(written, at1 + 2 * N)
                y20, y21, y22 = lanes(written, at2), lanes(written, at2 + N), lanes(written, at2 + 2 * N)
                y30, y31, y32 = lanes(written, at3), lanes(written, at3 + N), lanes(written, at3 + 2 * N)
            for t in range(t0, min(t0 + BLOCK, end)):
                at = start[t] + p
                e0, e1, e2 = lanes(read, at), lanes(read, at + N), lanes(read, at + 2 * N)
                f = every(f0[t])
                y00, y01, y02 = add_product(y00, f, e0), add_product(y01, f, e1), add_product(y02, f, e2)
                f = every(f1[t])
                y10, y11, y12 = add_product(y10, f, e0), add_product(y11, f, e1), add_product(y12, f, e2)
                f = every(f2[t])
                y20, y21, y22 = add_product(y20, f, e0), add_product(y21, f, e1), add_product(y22, f, e2)
                f = every(f3[t])
                y30, y31, y32 = add_product(y30, f, e0), add_product(y31, f, e1), add_product(y32, f, e2)
            put(written, at0, y00), put(written, at0 + N, y01), put(written, at0 + 2 * N, y02)
            put(written, at1, y10), put(written, at1 + N, y11), put(written, at1 + 2 * N, y12)
            put(written, at2, y20), put(written, at2 + N, y21), put(written, at2 + 2 * N, y22)
            put(written, at3, y30), put(written, at3 + N, y31), put(written, at3 + 2 * N, y32)


@kernel
def add_dot_products(dV, dV_start, dV_pitch, O, R, start, taps, length, dF):
    """dF[o, q] += sum_p dV[dV_start + o dV_pitch + p] R[start[q] + p], p = 0 .. length-1. Behind the dV are zeros.

    Twelve sums at once, of four outputs and three taps: seven reads for twelve products.
    """
    N = lane_count(R)
    for o in range(0, O, 4):
        # Where fewer than four outputs or three taps are left, the last is taken again: dF has rows and columns for it.
        d0, d1 = dV_start + o * dV_pitch, dV_start + min(o + 1, O - 1) * dV_pitch
        d2, d3 = dV_start + min(o + 2, O - 1) * dV_pitch, dV_start + min(o + 3, O - 1) * dV_pitch
        for q in range(0, taps, 3):
            r0, r1, r2 = start[q], start[min(q + 1, taps - 1)], start[min(q + 2, taps - 1)]
            y00 = y01 = y02 = y10 = y11 = y12 = y20 = y21 = y22 = y30 = y31 = y32 = every(R.dtype.type(0))
            for p in range(0, length, N):
                left = length - p
                if left >= N:
                    e0, e1, e2 = lanes(R, r0 + p), lanes(R, r1 + p), lanes(R, r2 + p)
                else:
                    e0, e1 = first_lanes(R, r0 + p, left), first_lanes(R, r1 + p, left)
                    e2 = first_lanes(R, r2 + p, left)
                f = lanes(dV, d0 + p)
                y00, y01, y02 = add_product(y00, f, e0), add_product(y01, f, e1), add_product(y02, f, e2)
                f = lanes(dV, d1 + p)
                y10, y11, y12 = add_product(y10, f, e0), add_product(y11, f, e1), add_product(y12, f, e2)
                f = lanes(dV, d2 + p)
                y20, y21, y22 = add_product(y20, f, e0), add_product(y21, f, e1), add_product(y22, f, e2)
                f = lanes(dV, d3 + p)
                y30, y31, y32 = add_product(y30, f, e0), add_product(y31, f, e1), add_product(y32, f, e2)
            F0, F1, F2, F3 = dF[o], dF[o + 1], dF[o + 2], dF[o + 3]
            F0[q] += total(y00)
            F0[q + 1] += total(y01)
            F0[q + 2] += total(y02)
            F1[q] += total(y10)
            F1[q + 1] += total(y11)
            F1[q + 2] += total(y12)
            F2[q] += total(y20)
            F2[q + 1] += total(y21)
            F2[q + 2] += total(y22)
            F3[q] += total(y30)
            F3[q + 1] += total(y31)
            F3[q + 2] += total(y32)


@kernel
def conv2d_fast_forward(first, end, U, F, bias, tap_start, sizes, V):
    """V of the stacks first .. end-1."""
    count, lines, columns, O, h, w, per_stack = sizes
    tile, taps = 3 * lane_count(U), F.shape[1]
    stacked = np.empty(count * lines * columns * per_stack, U.dtype)
    R = empty_from_line(count * (columns - w + 1) * pitch_of(lines * w * per_stack, U) + tile, U.dtype)
    V_stacked = empty_from_line(O * max(h * w * per_stack, tile), U.dtype)
    start = np.empty(taps, np.int64)
    for b in range(first * per_stack, min(end * per_stack, len(U)), per_stack):
        samples = min(per_stack, len(U) - b)
        length = h * w * samples
        alone = samples == 1 and length >= tile  # nothing to stack and to take apart
        if alone and columns == w and lines * w * U.itemsize % CROWDED != 0:
            read, pitch = U[b].reshape(-1), lines * w
        else:
            read, pitch = R, pitch_of(lines * w * samples, U)
            lay_out(U, b, samples, sizes, stacked, R, pitch)
        written, V_pitch = V[b].reshape(-1) if alone else V_stacked, max(length, tile)
        for q in range(taps):
            start[q] = tap_start[q, 0] * pitch + tap_start[q, 1] * samples
        for p in range(0, length, tile):  # the last tile begins where it does not reach beyond the end
            multiply_tiles(F, 0, taps, read, start, max(0, min(p, length - tile)), bias, written, V_pitch)
        if not alone:
            unstack(V_stacked, b, samples, V_pitch, V)


@kernel
def conv2d_fast_backward(first, end, U, dV, F_of_lines, tap_start, sizes, dU, dF):
    """dU, and a part of dF for each, of the runs of stacks first .. end-1. An empty dU or dF is not asked for."""
    count, lines, columns, O, h, w, per_stack = sizes
    K, tile, taps = lines - h + 1, 3 * lane_count(U), len(tap_start)
    ones, pieces = pitch_of(h * w * per_stack, U), count * (columns - w + 1)
    stacked = np.empty(count * lines * columns * per_stack, U.dtype)
    R = empty_from_line(ones + pieces * pitch_of(max(lines * w * per_stack, tile), U), U.dtype)
    dV_stacked = empty_from_line(O * pitch_of(h * w * per_stack + tile, U) + tile, U.dtype)
    start, line_start = np.empty(taps + 1, np.int64), np.empty(K * O, np.int64)
    nothing = np.zeros(pieces, U.dtype)
    stacks, runs = (len(U) + per_stack - 1) // per_stack, len(dF)
    for run in range(first, end):
        b_first, b_end = run * stacks // runs * per_stack, (run + 1) * stacks // runs * per_stack
        for b in range(b_first, min(b_end, len(U)), per_stack):
            samples = min(per_stack, len(U) - b)
            length, line = h * w * samples, w * samples
            dV_pitch, pitch = pitch_of(length + tile, U), pitch_of(max(lines * line, tile), U)
            dV_stacked[:tile] = 0  # zeros before and after the numbers of an output
            for o in range(O):
                dV_stacked[o * dV_pitch + tile + length : (o + 1) * dV_pitch + tile] = 0
            stack(dV, b, samples, dV_stacked, tile, dV_pitch)
            if dF.size > 0:
                lay_out(U, b, samples, sizes, stacked, R[ones:], pitch)
                R[:ones] = 1
                for offset in range(0, length, LONG):
                    for q in range(taps):
                        start[q] = ones + tap_start[q, 0] * pitch + tap_start[q, 1] * samples + offset
                    start[taps] = offset
                    some = min(LONG, length - offset)
                    add_dot_products(dV_stacked, tile + offset, dV_pitch, O, R, start, taps + 1, some, dF[run])
            if dU.size > 0:
                for k in range(K):
                    for o in range(O):
                        line_start[k * O + o] = tile + o * dV_pitch - k * line
                in_place = columns == w and samples == 1 and lines * line >= tile  # nothing to take apart and to add up
                dR, pitch = (dU[b].reshape(-1), lines * line) if in_place else (R, pitch)
                for p in range(0, lines * line, tile):
                    p = max(0, min(p, lines * line - tile))
                    # The rows k of the filter for which p - k line .. p + tile - 1 - k line meets 0 .. length-1
                    k_first, k_end = max(0, (p - length) // line + 1), min(K, (p + tile - 1) // line + 1)
                    multiply_tiles(F_of_lines, k_first * O, k_end * O, dV_stacked, line_start, p, nothing, dR, pitch)
                if columns > w:
                    gather(dR, pitch, sizes, samples, stacked)
                    unstack(stacked, b, samples, lines * columns * samples, dU)
                elif not in_place:
                    unstack(dR, b, samples, pitch, dU)


class Layout(NamedTuple):
    """What `forward` tells `backward`."""

    image: tuple[int, ...]  # the shape of U
    filters: tuple[int, ...]  # the shape of the weights
    stride: tuple[int, int]
    padding: tuple[int, int]
    stacks: int
    tap_start: np.ndarray
    sizes: tuple[int, ...]


def forward(
    U: np.ndarray, weight: np.ndarray, bias: Any, stride: tuple, padding: tuple, V: np.ndarray
) -> tuple[Layout, tuple[np.ndarray, np.ndarray]]:
    """Write V, and return the first arguments of `backward`: the layout, and the arrays to save."""
    (B, C, H, W), (O, _, K, L), (h, w) = U.shape, weight.shape, V.shape[2:]
    # A stride beyond the image is never taken, but memory would be laid out for it.
    stride = min(stride[0], H + 2 * padding[0]), min(stride[1], W + 2 * padding[1])
    U_phases = phases.take_apart(U, h + (K - 1) // stride[0], w + (L - 1) // stride[1], stride, padding)
    F = np.array(weight, order="C").reshape(O, C * K * L)
    bias = np.zeros(O, U.dtype) if bias is None else contiguous(bias)
    per_stack, stacks = plan(B, h, w, U_phases.shape[3])
    sizes = *U_phases.shape[1:], O, h, w, per_stack
    tap_start = starts(C, K, L, stride, U_phases.shape[3], w)
    share_out(conv2d_fast_forward, stacks, planes(U_phases), F, bias, tap_start, sizes, planes(V))
    return Layout(U.shape, weight.shape, stride, padding, stacks, tap_start, sizes), (U_phases, F)


def can_give_dU(layout: Layout, F: np.ndarray, dV: np.ndarray) -> bool:
    """Whether `backward` can give dU. There zeros stand in for what is not read, and 0 times infinity or NaN is NaN."""
    whole = all(n % stride == 0 for n, stride in zip(layout.filters[2:], layout.stride, strict=True))
    return bool(np.isfinite(F).all() and (whole or np.isfinite(dV).all()))


def backward(layout: Layout, kept: tuple, dV: np.ndarray, needs: tuple) -> tuple:
    """Return the gradients (dU, dweight, dbias), and None for one that is not among the `needs`, three bools."""
    (O, C, K, L), stride = layout.filters, layout.stride
    (U_phases, F), (need_U, need_weight, need_bias) = kept, needs
    dU = np.empty(U_phases.shape if need_U else (0, 0, 0, 0), F.dtype)
    _, _, _, _, h, w, per_stack = layout.sizes
    runs, stretches = min(layout.stacks, RUNS), layout.stacks * -(-h * w * per_stack // LONG)
    dtype = F.dtype if stretches <= runs * FEW else np.float64
    whole = -(-O // 4) * 4, -(-(C * K * L + 1) // 3) * 3  # see `add_dot_products`
    parts = np.zeros((runs, *(whole if need_weight or need_bias else (0, 0))), dtype)
    filters = of_lines(F.reshape(layout.filters), stride) if need_U else F[:0]
    arrays = planes(U_phases), planes(dV), filters, layout.tap_start, layout.sizes, planes(dU), parts
    share_out(conv2d_fast_backward, len(parts), *arrays)
    if need_U:
        dU = phases.put_together(dU, layout.image, stride, layout.padding)
    dF = parts.sum(axis=0)  # the first run first, no matter which thread did it
    dweight = dF[:O, : C * K * L].astype(F.dtype).reshape(O, C, K, L) if need_weight else None
    dbias = dF[:O, C * K * L].astype(F.dtype) if need_bias else None
    return dU if need_U else None, dweight, dbias
