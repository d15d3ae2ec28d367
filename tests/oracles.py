"""Naive oracles: each operation typed from its formula, in plain Python and float64.

No shortcut, no speed, and nothing shared with the sources: where both agree, the formula itself is the judge.
Letters are the paper's: U (B, C, H, W) input image, V (B, C, h, w) output, G (B, h, w, 2) grid with (x, y) last.
"""

import cmath
import math

import numpy as np


def conv2d(U, weight, bias, stride, padding):
    """Seven nested loops."""
    B, C, H, W = U.shape
    O, _, K, L = weight.shape
    h, w = window_counts((H, W), (K, L), stride, padding)
    V = np.zeros((B, O, h, w))
    for b in range(B):
        for o in range(O):
            for i in range(h):
                for j in range(w):
                    V[b, o, i, j] = bias[o]
                    for c in range(C):
                        for k in range(K):
                            for l in range(L):
                                n, m = i * stride[0] - padding[0] + k, j * stride[1] - padding[1] + l
                                if 0 <= n < H and 0 <= m < W:
                                    V[b, o, i, j] += weight[o, c, k, l] * U[b, c, n, m]
    return V


def conv2d_gradients(U, weight, dV, stride, padding):
    """(dU, dweight, dbias): each product of the seven loops sends dV to its two factors."""
    dU, dweight, dbias = np.zeros(U.shape), np.zeros(weight.shape), np.zeros(len(weight))
    for b, o, i, j in np.ndindex(dV.shape):
        dbias[o] += dV[b, o, i, j]
        for c, k, l in np.ndindex(weight.shape[1:]):
            n, m = i * stride[0] - padding[0] + k, j * stride[1] - padding[1] + l
            if 0 <= n < U.shape[2] and 0 <= m < U.shape[3]:
                dU[b, c, n, m] += dV[b, o, i, j] * weight[o, c, k, l]
                dweight[o, c, k, l] += dV[b, o, i, j] * U[b, c, n, m]
    return dU, dweight, dbias


def window_counts(size, kernel, stride, padding):
    """Count one by one how many windows fit below each other, and how many side by side."""
    counts = []
    for n, k, s, p in zip(size, kernel, stride, padding, strict=True):
        starts = []
        start = -p
        while start + k <= n + p:
            starts.append(start)
            start += s
        counts.append(len(starts))
    return tuple(counts)


def windows(size, kernel, stride, padding):
    """((i, j), the pixels (n, m) inside the image in row order) for every window."""
    h, w = window_counts(size, kernel, stride, padding)
    for i in range(h):
        for j in range(w):
            pixels = []
            for k in range(kernel[0]):
                for l in range(kernel[1]):
                    n, m = i * stride[0] - padding[0] + k, j * stride[1] - padding[1] + l
                    if 0 <= n < size[0] and 0 <= m < size[1]:
                        pixels.append((n, m))
            yield (i, j), pixels


def max_pool2d(U, kernel, stride, padding):
    """The largest of each window, and where it stood: {(b, c, i, j): (b, c, n, m)}. NaN wins; the first of equals."""
    B, C, H, W = U.shape
    V = np.zeros((B, C, *window_counts((H, W), kernel, stride, padding)))
    winners = {}
    for b in range(B):
        for c in range(C):
            for (i, j), pixels in windows((H, W), kernel, stride, padding):
                values = [float(U[b, c, n, m]) for n, m in pixels]
                missing = [math.isnan(u) for u in values]
                first = missing.index(True) if any(missing) else values.index(max(values))
                V[b, c, i, j] = values[first]
                winners[b, c, i, j] = (b, c, *pixels[first])
    return V, winners


def avg_pool2d(U, kernel, stride, padding):
    """The mean of each window; the zeros of the padding count."""
    B, C, H, W = U.shape
    V = np.zeros((B, C, *window_counts((H, W), kernel, stride, padding)))
    for b in range(B):
        for c in range(C):
            for (i, j), pixels in windows((H, W), kernel, stride, padding):
                V[b, c, i, j] = math.fsum(U[b, c, n, m] for n, m in pixels) / (kernel[0] * kernel[1])
    return V


def linear(x, W, bias):
    """The double sum, for x (B, I)."""
    y = np.zeros((x.shape[0], W.shape[0]))
    for b in range(x.shape[0]):
        for o in range(W.shape[0]):
            y[b, o] = math.fsum([*(x[b, i] * W[o, i] for i in range(W.shape[1])), bias[o]])
    return y


def matmul(a, b):
    """Rows times columns, for (n, k) and (k, m)."""
    return np.array([[math.fsum(p * q for p, q in zip(row, column, strict=True)) for column in b.T] for row in a])


def log_softmax(x, dim):
    """ln of exp(x_k) / sum_j exp(x_j), line by line."""

    def line(scores):
        total = math.fsum(math.exp(score) for score in scores)
        return [math.log(math.exp(score) / total) for score in scores]

    return np.apply_along_axis(line, dim, x)


def nll_loss(y, target):
    return -sum(float(y[b, k]) for b, k in enumerate(target)) / len(target)


def rotation_theta(angle):
    """A rotation takes the axis x = 1 to e^(i a) and y = i to i e^(i a): the columns of its matrix. No shift."""
    theta = []
    for a in angle:
        x_axis, y_axis = cmath.rect(1, a), 1j * cmath.rect(1, a)
        theta.append([[x_axis.real, y_axis.real, 0], [x_axis.imag, y_axis.imag, 0]])
    return np.array(theta)


def affine_grid(theta, h, w, align_corners):
    """theta times (x, y, 1) for each output pixel."""
    G = np.zeros((len(theta), h, w, 2))
    for b in range(len(theta)):
        for i in range(h):
            for j in range(w):
                G[b, i, j] = theta[b] @ [to_normalised(j, w, align_corners), to_normalised(i, h, align_corners), 1]
    return G


def affine_grid_3d(theta, d, h, w, align_corners):
    """theta times (x, y, z, 1) for each output voxel."""
    G = np.zeros((len(theta), d, h, w, 3))
    for b, k, i, j in np.ndindex(len(theta), d, h, w):
        z, y, x = (to_normalised(*place, align_corners) for place in ((k, d), (i, h), (j, w)))
        G[b, k, i, j] = theta[b] @ [x, y, z, 1]
    return G


def projective_grid(theta, h, w):
    """The quotients of the rows of theta times (x, y, 1), for each output pixel; align_corners."""
    G = np.zeros((len(theta), h, w, 2))
    for b in range(len(theta)):
        for i in range(h):
            for j in range(w):
                q = theta[b] @ [to_normalised(j, w, True), to_normalised(i, h, True), 1]
                G[b, i, j] = q[0] / q[2], q[1] / q[2]
    return G


def to_normalised(x, size, align_corners):
    """Pixel coordinate to normalised: -1 and 1 are the first and last centres, or half a pixel outside them."""
    if align_corners:
        return -1 + 2 * x / (size - 1) if size > 1 else 0.0
    return -1 + 2 * (x + 0.5) / size


def to_pixels(g, size, align_corners):
    """Normalised coordinate to pixel, and the derivative: the factor that the paper leaves out."""
    if align_corners:
        return (g + 1) / 2 * (size - 1), (size - 1) / 2
    return (g + 1) / 2 * size - 0.5, size / 2


def place(g, size, padding_mode, align_corners):
    """Where a coordinate of the grid lies in the image, by padding_mode, and the derivative of that."""
    x, slope = to_pixels(g, size, align_corners)
    if padding_mode == "reflection":
        low, high = (0, size - 1) if align_corners else (-0.5, size - 0.5)
        if low == high:
            x, slope = 0.0, 0.0
        while x < low or x > high:
            x, slope = (2 * low - x if x < low else 2 * high - x), -slope
    if padding_mode != "zeros":
        if x <= 0 or x >= size - 1:
            slope = 0.0
        x = min(max(x, 0.0), size - 1.0)
    return x, slope


def tent(d):
    return max(0.0, 1 - abs(d))


def tent_slope(x, m):
    """The right-hand derivative in x of tent(x - m)."""
    return 1 if m - 1 <= x < m else -1 if m <= x < m + 1 else 0


def sampling_weights(x, y, m, n, mode):
    """The weight of pixel (n, m) at the point (x, y), and its derivatives in x and y."""
    if mode == "nearest":
        return float(round(x) == m and round(y) == n), 0.0, 0.0
    return tent(x - m) * tent(y - n), tent_slope(x, m) * tent(y - n), tent(x - m) * tent_slope(y, n)


def grid_sample(U, G, mode, padding_mode, align_corners, dV=None):
    """The paper's double sum over all pixels: eq. 5 (4 for nearest); with dV also its gradients, eq. 6 and 7.

    Returns V, or (V, dU, dG).
    """
    B, C, H, W = U.shape
    _, h, w, _ = G.shape
    V, dU, dG = np.zeros((B, C, h, w)), np.zeros(U.shape), np.zeros(G.shape)
    for b in range(B):
        for i in range(h):
            for j in range(w):
                x, slope_x = place(float(G[b, i, j, 0]), W, padding_mode, align_corners)
                y, slope_y = place(float(G[b, i, j, 1]), H, padding_mode, align_corners)
                for n in range(H):
                    for m in range(W):
                        weight, along_x, along_y = sampling_weights(x, y, m, n, mode)
                        for c in range(C):
                            V[b, c, i, j] += U[b, c, n, m] * weight
                            if dV is not None:
                                dU[b, c, n, m] += dV[b, c, i, j] * weight
                                dG[b, i, j, 0] += dV[b, c, i, j] * U[b, c, n, m] * along_x * slope_x
                                dG[b, i, j, 1] += dV[b, c, i, j] * U[b, c, n, m] * along_y * slope_y
    return V if dV is None else (V, dU, dG)


def grid_sample_3d(U, G, mode, padding_mode, align_corners, dV=None):
    """The double sum with a third axis: a tent for each of x, y and z. Returns V, or (V, dU, dG)."""
    V, dU, dG = np.zeros((*U.shape[:2], *G.shape[1:4])), np.zeros(U.shape), np.zeros(G.shape)
    sizes = U.shape[:1:-1]  # along x, y and z
    for b, k, i, j in np.ndindex(G.shape[:4]):
        places = [place(float(G[b, k, i, j, r]), sizes[r], padding_mode, align_corners) for r in range(3)]
        for l, n, m in np.ndindex(U.shape[2:]):
            if mode == "nearest":
                heights = [float(round(x) == q) for (x, _), q in zip(places, (m, n, l), strict=True)]
                slopes = [0.0, 0.0, 0.0]
            else:
                heights = [tent(x - q) for (x, _), q in zip(places, (m, n, l), strict=True)]
                slopes = [tent_slope(x, q) * slope for (x, slope), q in zip(places, (m, n, l), strict=True)]
            for c in range(U.shape[1]):
                V[b, c, k, i, j] += U[b, c, l, n, m] * math.prod(heights)
                if dV is not None:
                    dU[b, c, l, n, m] += dV[b, c, k, i, j] * math.prod(heights)
                    for r in range(3):
                        weight = math.prod(slopes[r] if q == r else heights[q] for q in range(3))
                        dG[b, k, i, j, r] += dV[b, c, k, i, j] * U[b, c, l, n, m] * weight
    return V if dV is None else (V, dU, dG)


def keys(d, a=-0.75):
    """Keys' cubic convolution kernel."""
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def padded(n, size, padding_mode, align_corners):
    """The row or column that is read for n, any integer; None for a 0."""
    if padding_mode == "zeros":
        return n if 0 <= n < size else None
    if padding_mode == "border":
        return min(max(n, 0), size - 1)
    x, _ = place(to_normalised(n, size, align_corners) if size > 1 else 0.0, size, padding_mode, align_corners)
    return round(x)


def bicubic(U, G, padding_mode, align_corners):
    """Each of the sixteen taps is padded by itself; align_corners needs more than one row and column."""
    V = np.zeros((*U.shape[:2], *G.shape[1:3]))
    for b, c, i, j in np.ndindex(V.shape):
        x, _ = to_pixels(float(G[b, i, j, 0]), U.shape[3], align_corners)
        y, _ = to_pixels(float(G[b, i, j, 1]), U.shape[2], align_corners)
        for n in range(math.floor(y) - 1, math.floor(y) + 3):
            for m in range(math.floor(x) - 1, math.floor(x) + 3):
                row = padded(n, U.shape[2], padding_mode, align_corners)
                column = padded(m, U.shape[3], padding_mode, align_corners)
                if row is not None and column is not None:
                    V[b, c, i, j] += U[b, c, row, column] * keys(x - m) * keys(y - n)
    return V


def softmax(x, dim):
    """exp(x_k) over the sum of all, line by line."""

    def line(scores):
        total = math.fsum(math.exp(score) for score in scores)
        return [math.exp(score) / total for score in scores]

    return np.apply_along_axis(line, dim, x)


def thin_plate_spline(points, control_points, z):
    """f(z) of one spline: the conditions as equations, solved for its coefficients; points (K, 2), z (P, 2)."""

    def row(x, y):
        """The value at (x, y) in terms of the K + 3 coefficients."""
        r = [math.hypot(x - cx, y - cy) for cx, cy in control_points]
        return [*(d**2 * math.log(d) if d else 0.0 for d in r), 1, x, y]

    through = [row(x, y) for x, y in control_points]
    moments = (lambda x, y: 1, lambda x, y: x, lambda x, y: y)
    without_moments = [[*(moment(*c) for c in control_points), 0, 0, 0] for moment in moments]
    unknown = np.linalg.solve(np.array(through + without_moments), np.concatenate([points, np.zeros((3, 2))]))
    return np.array([row(x, y) for x, y in z]) @ unknown
