"""Nodes of the transformer: the grids as products with constants, and the sampler, made the same in every engine.

| npstn              | ONNX                                                                                      |
|--------------------|-------------------------------------------------------------------------------------------|
| rotation_theta     | Cos and Sin to the four places of the 2 x 2 part, Pad by a column of zeros                |
| affine_grid        | G = P theta^T: MatMul; the rows of the constant P (h w, 3) are (x_j, y_i, 1)              |
| projective_grid    | q = P theta^T, G = (q_0, q_1) / q_2: MatMul, Slice, Div                                   |
| tps_grid           | G = M points: MatMul; M (h w, K) is the spline's constant matrix                          |
| grid_sample        | GridSample, with Where and Clip before it and Add after it                                |

ONNX has an operator AffineGrid too. It is not used: of a single row or column it makes the middle, the top, the bottom
or NaN, by engine. Likewise GridSample itself, of a point that is NaN or far away. So the nodes give each engine only
points near the image, and put NaN where it belongs afterwards:

    lost = G is NaN or infinite; with "border" G is NaN, as an infinite point is far outside like any other
    near = 0 where lost, else clip(G, -8, 8), from where no tap reaches the image, or all taps the border;
           with "reflection" the remainder of G / 4: after that distance the mirror images repeat; and for the nearest
           pixel mirrored into the image, twice by 2 clip(G, -1, 1) - G: engines round before they mirror
    V = GridSample(U, near) + (NaN where lost, else 0)

Two combinations take a larger image U, so that all engines do what npstn does:

    bicubic with "border": npstn pads each of the sixteen taps, and others first move the point to the border. Both are
    the same for points in an image with a ring of two more border pixels. A point keeps its place in pixels by

        near = clip(g W / (W + 4), -1, 1)        with align_corners: clip(g (W - 1) / (W + 3), -1, 1)

    "reflection" with align_corners, and a single row or column: there is no distance between its mirrors to divide by.
    Twice the same row is the same image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.onnx.graph import Graph, Table, Value
from npstn.ops.affine_grid import AffineGrid, normalised_coordinates
from npstn.ops.grid_sample import BORDER, MODES, PADDINGS, REFLECTION, GridSample
from npstn.ops.grid_sample_bicubic import GridSampleBicubic
from npstn.ops.projective_grid import ProjectiveGrid
from npstn.ops.rotation import RotationTheta
from npstn.ops.tps_grid import TpsGrid, spline_matrix

ZERO = np.float32(0)
FAR = 8.0
PERIOD = 4.0  # of an image and its mirror image, normalised
RING = 2  # pixels


def rotation_theta(graph: Graph, a: Value) -> str:
    cos, sin = (graph.node("Unsqueeze", graph.node(operator, a), [1]) for operator in ("Cos", "Sin"))
    entries = graph.node("Concat", cos, graph.node("Neg", sin), sin, cos, axis=1)  # (B, 4)
    part = graph.node("Reshape", entries, [0, 2, 2])
    return graph.node("Pad", part, [0, 0, 0, 0, 0, 1])


def pixels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """P (h w, 3) in float32: the rows (x_j, y_i, 1) of the output's pixels, of x (w,) and y (h,)."""
    h, w = y.size, x.size
    return np.stack([np.tile(x, h), np.repeat(y, w), np.ones(h * w)], axis=1).astype(np.float32)


def affine_grid(graph: Graph, theta: Value, x: np.ndarray, y: np.ndarray) -> str:
    G = graph.node("MatMul", pixels(x, y), graph.node("Transpose", theta, perm=[0, 2, 1]))  # (B, h w, 2)
    return graph.node("Reshape", G, [0, y.size, x.size, 2])


def projective_grid(graph: Graph, theta: Value, size: Any) -> str:
    h, w = graph.fixed("sizes", size)
    x, y = (normalised_coordinates(n, True, np.dtype(np.float32)) for n in (w, h))
    q = graph.node("MatMul", pixels(x, y), graph.node("Transpose", theta, perm=[0, 2, 1]))  # (B, h w, 3)
    q_01, q_2 = graph.node("Slice", q, [0], [2], [2]), graph.node("Slice", q, [2], [3], [2])
    return graph.node("Reshape", graph.node("Div", q_01, q_2), [0, h, w, 2])


def tps_grid(graph: Graph, points: Value, control_points: Any, size: Any) -> str:
    h, w = graph.fixed("sizes", size)
    c = np.array(graph.fixed("control points", control_points), np.float64, order="C")
    M = spline_matrix(c.tobytes(), h, w, np.dtype(np.float32)).T.copy()
    return graph.node("Reshape", graph.node("MatMul", M, points), [0, h, w, 2])


def grid_sample(graph: Graph, U: Any, G: Any, mode: int, padding: int, align_corners: bool) -> str:
    return _sample(graph, U, G, {"bilinear": "linear"}.get(MODES[mode], MODES[mode]), padding, align_corners)


def grid_sample_bicubic(graph: Graph, U: Any, G: Any, padding: int, align_corners: bool) -> str:
    return _sample(graph, U, G, "cubic", padding, align_corners)


def _sample(graph: Graph, U: Any, G: Any, mode: str, padding: int, align_corners: bool) -> str:
    _, _, H, W = U.shape
    if None in (H, W):
        raise graph.varying("sizes of an image")
    lost = graph.node("IsNaN", G)
    if padding != BORDER:
        lost = graph.node("Or", lost, graph.node("IsInf", G))
    near = graph.node("Where", lost, ZERO, G)
    if padding == REFLECTION:
        near = graph.node("Mod", near, np.float32(PERIOD), fmod=1)
        for _ in range(2 if mode == "nearest" else 0):
            inside = graph.node("Clip", near, np.float32(-1), np.float32(1))
            near = graph.node("Sub", graph.node("Mul", inside, np.float32(2)), near)
    else:
        near = graph.node("Clip", near, np.float32(-FAR), np.float32(FAR))
    if padding == BORDER and mode == "cubic":
        U = graph.node("Pad", U, [0, 0, RING, RING, 0, 0, RING, RING], mode="edge")
        extent = np.array([W, H], np.float32) - align_corners
        near = graph.node("Clip", graph.node("Mul", near, extent / (extent + 2 * RING)), np.float32(-1), np.float32(1))
    if padding == REFLECTION and align_corners and 1 in (H, W):
        U = graph.node("Pad", U, [0, 0, 0, 0, 0, 0, int(H == 1), int(W == 1)], mode="edge")
    options: dict[str, Any] = {"mode": mode, "padding_mode": PADDINGS[padding], "align_corners": int(align_corners)}
    V = graph.node("GridSample", U, near, **options)
    nan = graph.node("ReduceSum", graph.node("Where", lost, np.float32(np.nan), ZERO), [-1], keepdims=0)
    return graph.node("Add", V, graph.node("Unsqueeze", nan, [1]))  # (B, C, h, w) + (B, 1, h, w)


GRIDS: Table = {
    RotationTheta: rotation_theta,
    AffineGrid: affine_grid,
    ProjectiveGrid: projective_grid,
    TpsGrid: tps_grid,
    GridSample: grid_sample,
    GridSampleBicubic: grid_sample_bicubic,
}
