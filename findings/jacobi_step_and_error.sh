#!/usr/bin/env bash
# jacobi 0.9.2, jacobi(f, x): far from 0 the derivative of a function that varies within x/4 is wrong in every digit, and the
# error estimate that comes with it is far too small. propagate, which uses it, gives wrong uncertainties likewise.
# - The first step is a quarter of |x|, whatever the function's scale. The steps are halved, but the loop ends as soon as one
#   does not better the estimated error. The first three or four values of a wave, seen at steps of many periods, are all
#   nearly 0, so they agree with each other: by the estimate that is a success, and the small steps are never taken.
# - The sine of a date, 2021.3: -0.002 with an error of 7e-8, where it is -0.310. At 1e9: -5e-9 with 3e-22.
# - Texture with a period of 20 pixels: from pixel 20 to 100 most derivatives are wrong, from 100 on all of them; most claim
#   less than a tenth of their true error.
# jacobi(f, x, diagonal=True) is right: there the first step is 1/4, and nothing tells that. step=(1e-4, 0.5), relative to x,
# is right at 1000, and not at 1e6. SciPy's scipy.differentiate.derivative, which also starts from a fixed step, is right.
# In jacobi/_jacobi.py these are _steps and the break of the loop. No issue on it was found; 37, open, tells of the two steps,
# as a matter of speed. The README says that the estimate is reliable.
#
# Seen on 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "jacobi==0.9.2"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
from jacobi import jacobi, propagate
from scipy.differentiate import derivative

for x in (2.5, 1000.0, 2021.3, 1e9):
    value, error = jacobi(np.sin, x)
    other = jacobi(np.sin, np.array([x]), diagonal=True)[0][0]
    scipy = derivative(np.sin, x).df
    print(f"sine at {x:g}: {value:.3f}, claims an error below 1e-4: {bool(error < 1e-4)};", end=" ")
    print(f"diagonal=True {other:.3f}, SciPy {scipy:.3f}, right {np.cos(x):.3f}")

turn = 2 * np.pi / 20
for first, last in ((1, 20), (20, 100), (100, 500), (500, 1000)):
    pixels = np.arange(first, last) + 0.3
    found, claimed = np.array([jacobi(lambda x: np.sin(turn * x), x) for x in pixels]).T
    off = np.abs(found - turn * np.cos(turn * pixels))
    wrong, hidden = off > 0.01 * turn, off > 10 * claimed
    print(f"period 20, pixels {first} to {last}: more than 1 % off {wrong.mean():.0%}", end=", ")
    print(f"and by more than ten times the error claimed {(wrong & hidden).mean():.0%}")

sigma = propagate(np.sin, 2021.3, 0.01**2)[1] ** 0.5
print(f"sine of 2021.3 with sigma 0.01: sigma {sigma:.5f}, right {abs(np.cos(2021.3)) * 0.01:.5f}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
SEEN
echo "as seen"
