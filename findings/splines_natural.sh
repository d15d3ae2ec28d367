#!/usr/bin/env bash
# splines 0.3.3, splines.Natural(vertices, grid), the natural cubic spline through points: two ways to another curve.
# - A grid whose first two steps differ: the curve still goes through its points, and is not the natural spline. Its
#   second derivative at the beginning is not 0. At the end it is 0. So a list of points and the same list backwards
#   give two curves. It is the same with alpha=0.5 and alpha=1, the centripetal and the chordal grid, which the
#   documentation shows how to use, and which are hardly ever even.
# - Vertices of whole numbers, such as pixels, on a grid whose steps are not all 1: the right side of the equations is
#   cut to whole numbers. The curve goes through its points, and its second derivative jumps at them. The same numbers
#   as floats are right, if the first two steps agree. With steps of 1 nothing is cut.
# In Natural.__init__ the row for the beginning has delta[0] and delta[1] where it must have delta[0] twice, and b is
# made by zeros_like(vertices). No issue on either was found.
#
# Seen on 2026-11-29. SciPy 1.17.1's CubicSpline has the right curve.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "splines==0.3.3"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import splines
from scipy.interpolate import CubicSpline

whole = np.array([[0, 0], [3, 1], [4, 5], [9, 2], [7, 8]])


def row(numbers):
    return " ".join(f"{round(float(number), 2) + 0.0:.2f}" for number in numbers)


def show(name, vertices, grid, **options):
    curve = splines.Natural(vertices, grid, **options)
    grid = np.array(curve.grid, dtype=float)
    right = CubicSpline(grid, vertices, bc_type="natural")
    times = np.linspace(grid[0], grid[-1], 1001)
    through = np.allclose(curve.evaluate(grid[1:-1]), vertices[1:-1])
    off = np.abs(curve.evaluate(times) - right(times)).max()
    jump = max(np.abs(curve.evaluate(t - 1e-9, 2) - curve.evaluate(t + 1e-9, 2)).max() for t in grid[1:-1])
    print(f"{name}: through its points {through}, off by {off:.3f};", end=" ")
    print(f"second derivative {row(curve.evaluate(grid[0], 2))} at the beginning,", end=" ")
    print(f"{row(curve.evaluate(grid[-1], 2))} at the end, jumps by {jump:.2f}")


for grid in ([0, 1, 2, 3, 4], [0, 2, 4, 6, 8], [0, 2, 4, 5, 8], [0, 1, 4, 6, 9]):
    show(f"{grid}, floats", whole.astype(float), grid)
    show(f"{grid}, whole ", whole, grid)
show("alpha 0.5, floats", whole.astype(float), None, alpha=0.5)
show("alpha 1, floats", whole.astype(float), None, alpha=1)

points = whole.astype(float)
grid = np.array([0.0, 1.0, 4.0, 6.0, 9.0])
there = splines.Natural(points, grid).evaluate(np.linspace(0, 9, 1001))
back = splines.Natural(points[::-1], 9 - grid[::-1]).evaluate(np.linspace(0, 9, 1001))[::-1]
print(f"there and back differ by {np.abs(there - back).max():.3f}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
[0, 1, 2, 3, 4], floats: through its points True, off by 0.000; second derivative 0.00 0.00 at the beginning, 0.00 0.00 at the end, jumps by 0.00
[0, 1, 2, 3, 4], whole : through its points True, off by 0.000; second derivative 0.00 0.00 at the beginning, 0.00 0.00 at the end, jumps by 0.00
[0, 2, 4, 6, 8], floats: through its points True, off by 0.000; second derivative 0.00 0.00 at the beginning, 0.00 0.00 at the end, jumps by 0.00
[0, 2, 4, 6, 8], whole : through its points True, off by 0.135; second derivative 0.00 0.00 at the beginning, 0.00 0.00 at the end, jumps by 1.50
[0, 2, 4, 5, 8], floats: through its points True, off by 0.000; second derivative 0.00 0.00 at the beginning, 0.00 0.00 at the end, jumps by 0.00
[0, 2, 4, 5, 8], whole : through its points True, off by 0.175; second derivative 0.00 0.00 at the beginning, 0.00 0.00 at the end, jumps by 1.50
[0, 1, 4, 6, 9], floats: through its points True, off by 0.910; second derivative 15.30 10.78 at the beginning, 0.00 0.00 at the end, jumps by 0.00
[0, 1, 4, 6, 9], whole : through its points True, off by 0.774; second derivative 14.12 8.88 at the beginning, 0.00 0.00 at the end, jumps by 1.83
alpha 0.5, floats: through its points True, off by 0.046; second derivative 0.13 0.29 at the beginning, 0.00 0.00 at the end, jumps by 0.00
alpha 1, floats: through its points True, off by 0.084; second derivative 0.11 0.16 at the beginning, 0.00 0.00 at the end, jumps by 0.00
there and back differ by 0.918
SEEN
echo "as seen"
