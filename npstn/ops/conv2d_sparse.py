"""The backward pass of the convolution where dV is mostly zero. The formula stands in `conv2d.py`.

    b, o, i, j     a sample; an output channel; row and column in the output, 0 .. h-1, 0 .. w-1
    c, k, l        an input channel, row and column in the filter
    t              one of the dV[b, o, i, j] of a sample and an output that are not zero
    s              a slot: N numbers (short lanes) of a line k of a filter
    U, dU          the phases, of stride 1 and without padding; F the filters, alike: see `phases.py`

Max pooling sends its gradient back to one pixel of four, and relu stops a part of that. Each dV that is not zero adds
as many products to the gradients as a filter has weights, and all others can be left out:

    dF[o, c, k, l]     += dV_t U[b, c, i+k, j+l]
    dU[b, c, i+k, j+l] += dV_t F[o, c, k, l]

With the channels last, the numbers (l, c) that one line of a filter reads lie in one piece of memory, from pixel
(i+k, j) on. The piece is cut into slots, and GROUP slots are in registers while all t are taken: of dF their sums, for
dU their weights. Neighbouring t add to overlapping slots of dU. After a write, a processor waits before it reads half
of the same slot. So the t add to two copies of dU in turn, and the copies are added up at the end. The lanes are short
ones: lines of few numbers fill them better, and they overlap less.

Samples are shared out to threads in at most RUNS runs, whose parts of dF are added in order: the number of threads
changes no bit.
"""

from __future__ import annotations

import functools

import numpy as np

from npstn.backend.compiler import kernel
from npstn.backend.lanes import (
    BYTES, SHORT_BYTES, add_product, not_zero, plus, put, short_count, short_every, short_lanes, total,
)
from npstn.backend.parallel import share_out
from npstn.ops import phases
from npstn.ops.arguments import planes
from npstn.ops.conv2d_fast import FEW, LONG, RUNS, Layout, stack, unstack

GROUP = 5  # slots in registers; written out in the kernels
# For each integer of 8 bits, which of its bits are 1, the lowest first, and then some that are 0; and how many are 1.
BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
ONES, COUNT = np.argsort(1 - BITS, axis=1, kind="stable").astype(np.uint32).ravel(), BITS.sum(axis=1, dtype=np.int64)
STRETCH = LONG // 8  # t in a stretch, whose products one lane adds up one after the other
# A number of a slot, also one that fills it up, takes so many times as long here as a product in a tile: a fit to
# nineteen layers. Lanes of 64 bytes make tiles quicker, and nothing here.
SLOWER = 2.2 if BYTES == SHORT_BYTES else 3.7
BEGIN = 6  # to begin with an output of a sample takes as long as so many of its dV


def fits(layout: Layout, dV: np.ndarray) -> bool:
    """Whether to leave the zeros out: it is quicker, judging by the first sample, and the sums are short."""
    B, O, h, w = dV.shape
    short = B * -(-h * w // STRETCH) <= min(B, RUNS) * FEW
    C, lines, columns, *_ = layout.sizes
    N = SHORT_BYTES // dV.itemsize
    numbers = N * len(slots_of(C, columns, lines - h + 1, columns - w + 1, N)[0])
    left = np.count_nonzero(dV[:1]) + O * BEGIN
    return short and bool(left * numbers * SLOWER <= O * h * w * len(layout.tap_start))


@functools.lru_cache(maxsize=64)  # a training loop asks for the same ones at each step
def slots_of(C: int, columns: int, K: int, L: int, N: int) -> tuple[np.ndarray, int]:
    """The offset of each slot from the first number that an output reads; and how many slots a line has."""
    in_line = -(-L * C // N)
    offset = (np.arange(K)[:, None] * columns * C + np.arange(in_line) * N).ravel()
    spare = np.zeros(-len(offset) % GROUP, np.int64)  # slots that nobody asks for, and whose weights are zero
    return np.concatenate([offset, spare]), in_line


def in_slots(layout: Layout, F: np.ndarray, slots: int, in_line: int) -> np.ndarray:
    """The weights (O, slots N), with zeros where a line ends within a slot."""
    apart = phases.of_filters(F.reshape(layout.filters), layout.stride)
    O, C, K, L = apart.shape
    padded = np.zeros((O, slots * SHORT_BYTES // F.itemsize), F.dtype)
    numbers = in_line * SHORT_BYTES // F.itemsize
    lines = padded[:, : K * numbers].reshape(O, K, numbers)[:, :, : L * C]
    lines[...] = apart.transpose(0, 2, 3, 1).reshape(O, K, L * C)
    return padded


@kernel
def find(numbers, found):
    """Write the indices of the numbers (n) that are not zero, in order, into `found`, n + 8 long; return how many."""
    N, count = short_count(numbers), 0
    in_lanes = len(numbers) // N * N
    for p in range(0, in_lanes, N):  # without a branch, which a processor would guess wrong
        bits = not_zero(short_lanes(numbers, p))
        # Of the eight, the first COUNT are meant.
        put(found, count, plus(short_lanes(ONES, 8 * bits), short_every(np.uint32(p))))
        count += COUNT[bits]
    for p in range(in_lanes, len(numbers)):
        found[count] = p
        count += numbers[p] != 0
    return count


@kernel
def gather_sums(u, place, value, first, end, offset, s, sums):
    """sums[s N ..] += value[t] u[place[t] + offset[s] ..] for GROUP slots from s on, over t = first .. end-1."""
    N = short_count(u)
    p0, p1, p2, p3, p4 = s * N, (s + 1) * N, (s + 2) * N, (s + 3) * N, (s + 4) * N
    s0, s1, s2, s3, s4 = offset[s], offset[s + 1], offset[s + 2], offset[s + 3], offset[s + 4]
    y0 = y1 = y2 = y3 = y4 = short_every(u.dtype.type(0))
    for t in range(first, end):
        at, v = place[t], short_every(value[t])
        y0, y1 = add_product(y0, v, short_lanes(u, at + s0)), add_product(y1, v, short_lanes(u, at + s1))
        y2, y3 = add_product(y2, v, short_lanes(u, at + s2)), add_product(y3, v, short_lanes(u, at + s3))
        y4 = add_product(y4, v, short_lanes(u, at + s4))
    one = short_every(u.dtype.type(1))
    put(sums, p0, add_product(short_lanes(sums, p0), one, y0))
    put(sums, p1, add_product(short_lanes(sums, p1), one, y1))
    put(sums, p2, add_product(short_lanes(sums, p2), one, y2))
    put(sums, p3, add_product(short_lanes(sums, p3), one, y3))
    put(sums, p4, add_product(short_lanes(sums, p4), one, y4))


@kernel
def scatter_products(weights, place, value, count, offset, s, du, pitch):
    """du[place[t] + offset[s] ..] += value[t] weights[s N ..] for GROUP slots from s on, for all t."""
    N = short_count(du)
    s0, s1, s2, s3, s4 = offset[s], offset[s + 1], offset[s + 2], offset[s + 3], offset[s + 4]
    f0, f1 = short_lanes(weights, s * N), short_lanes(weights, (s + 1) * N)
    f2, f3 = short_lanes(weights, (s + 2) * N), short_lanes(weights, (s + 3) * N)
    f4 = short_lanes(weights, (s + 4) * N)
    for t in range(count):
        at, v = place[t] + (t & 1) * pitch, short_every(value[t])
        put(du, at + s0, add_product(short_lanes(du, at + s0), v, f0))  # one after the other: narrow lines overlap
        put(du, at + s1, add_product(short_lanes(du, at + s1), v, f1))
        put(du, at + s2, add_product(short_lanes(du, at + s2), v, f2))
        put(du, at + s3, add_product(short_lanes(du, at + s3), v, f3))
        put(du, at + s4, add_product(short_lanes(du, at + s4), v, f4))


@kernel
def conv2d_sparse_backward(first, end, U, dV, weights, offset, sizes, dU, dF, dbias):
    """dU, and a part of dF and dbias for each, of the runs of samples first .. end-1.

    An empty dU or dF is not asked for. Where dV is not finite, or for dF the U, dbias becomes NaN or infinite.
    """
    C, lines, columns, O, h, w, _ = sizes
    pixels, N, nothing = lines * columns, short_count(U), short_every(U.dtype.type(0))
    pitch = (pixels * C + 2 * N - 1) // N * N  # slots may reach beyond the last pixel
    u, du = np.zeros(pitch, U.dtype), np.zeros(2 * pitch, U.dtype)
    found, at, value = np.empty(h * w + 8, np.uint32), np.empty(h * w, np.int64), np.empty(h * w, U.dtype)
    place, runs = np.empty(h * w, np.int64), len(dbias)
    channels, dchannels = U.reshape(len(U) * C, 1, pixels), dU.reshape(len(dU) * C, 1, pixels)
    for p in range(h * w):
        place[p] = (p // w * columns + p % w) * C
    for run in range(first, end):
        for b in range(run * len(U) // runs, (run + 1) * len(U) // runs):
            if dF.size > 0:
                stack(channels, b * C, C, u, 0, 0)
                zeros = nothing
                for p in range(0, pitch, N):
                    zeros = add_product(zeros, nothing, short_lanes(u, p))  # NaN from infinity or NaN
                dbias[run, 0] += total(zeros)
            for o in range(O):
                dV_o = dV[b, o]
                count, sum_of_all = find(dV_o, found), np.float64(0)
                for t in range(count):
                    at[t], value[t] = place[found[t]], dV_o[found[t]]
                    sum_of_all += value[t]
                dbias[run, o] += sum_of_all
                for t in range(0, count if dF.size > 0 else 0, STRETCH):
                    for s in range(0, len(offset), GROUP):
                        gather_sums(u, at, value, t, min(t + STRETCH, count), offset, s, dF[run, o])
                if dU.size > 0:
                    for s in range(0, len(offset), GROUP):
                        scatter_products(weights[o], at, value, count, offset, s, du, pitch)
            if dU.size > 0:
                for p in range(pixels * C):
                    u[p] = du[p] + du[pitch + p]
                du[:] = 0
                unstack(u, b * C, C, 0, dchannels)


def backward(layout: Layout, kept: tuple, dV: np.ndarray, needs: tuple) -> tuple | None:
    """Return the gradients as `conv2d_fast.backward` does; or None where a number is not finite: 0 times it is NaN."""
    (U_phases, F), (need_U, need_weight, need_bias) = kept, needs
    if need_U and not np.isfinite(F).all():
        return None
    C, lines, columns, O, h, w, _ = layout.sizes
    K, L = lines - h + 1, columns - w + 1
    offset, in_line = slots_of(C, columns, K, L, SHORT_BYTES // F.itemsize)
    dU = np.empty(U_phases.shape if need_U else (0, 0, 0, 0), F.dtype)
    weights = in_slots(layout, F, len(offset), in_line) if need_U else F[:0]
    runs = min(len(dV), RUNS)
    dF = np.zeros((runs, O, len(offset) * SHORT_BYTES // F.itemsize) if need_weight else (0, 0, 0), F.dtype)
    dbias = np.zeros((runs, O))
    arrays = planes(U_phases), planes(dV), weights, offset, layout.sizes, planes(dU), dF, dbias
    share_out(conv2d_sparse_backward, runs, *arrays)
    dbias = dbias.sum(axis=0)  # the first run first, no matter which thread did it
    if not np.isfinite(dbias).all():
        return None
    if need_U:
        dU = phases.put_together(dU, layout.image, layout.stride, layout.padding)
    dweight = None
    if need_weight:
        numbers = in_line * SHORT_BYTES // F.itemsize  # of a line, with what fills its last slot
        dlines = dF.sum(axis=0)[:, : K * numbers].reshape(O, K, numbers)[:, :, : L * C]
        apart = dlines.reshape(O, K, L, C).transpose(0, 3, 1, 2)
        dweight = phases.put_together(apart, layout.filters, layout.stride, (0, 0))
    return dU if need_U else None, dweight, dbias.astype(F.dtype) if need_bias else None
