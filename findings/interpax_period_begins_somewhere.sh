#!/usr/bin/env bash
# interpax 0.3.16, interp1d with `period`: the methods "cubic2" and "akima" depend on where the data begin.
# - A periodic interpolant turns with its data: begun three samples later, the same samples must give the same function.
#   With "cubic2" it moves by some hundredths here, with "akima" as well; "cubic", "monotonic" and "linear" do not.
# - At the seam the slope of "cubic2" is 0.834. That of SciPy's periodic cubic spline through the same points is 1.000,
#   and the function's own is 1. Its largest error is 0.020, and SciPy's 0.006.
# - interpax's own CubicSpline with bc_type="periodic" is as SciPy's. So there is a way, but not by `period`.
# - An option that interp1d does not know is taken without a word: derx=1, say, gives the values, and derivative=1 the
#   slopes.
# The documentation says that the function is assumed to be periodic, and that "cubic2" is a natural spline. Issue 38
# (f0uriest/interpax) asks about its second derivative at the seam; its author closed it, as natural splines need none.
# That the function moves with the first sample, and that "akima" does, is not in it.
#
# Seen on 2026-11-29, in float64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "jax==0.10.2" "interpax==0.3.16"
JAX_ENABLE_X64=1 "$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import interpax
import numpy as np
from scipy.interpolate import CubicSpline

period = 2 * np.pi
x = np.linspace(0, period, 12, endpoint=False)
true = lambda x: np.sin(x) + 0.3 * np.cos(3 * x)  # noqa: E731
f, q = true(x), np.linspace(0, period, 241)
around = np.append(x, period), np.append(f, f[0])
scipy = CubicSpline(*around, bc_type="periodic")

for method in ("linear", "cubic", "monotonic", "cubic2", "akima"):
    given = np.asarray(interpax.interp1d(q, x, f, method, period=period))
    later = np.asarray(interpax.interp1d(q - x[3], x, np.roll(f, -3), method, period=period))
    print(f"{method}: begun three samples later it moves by {np.abs(later - given).max():.3f}")
slope = float(interpax.interp1d(0.0, x, f, "cubic2", derivative=1, period=period))
error = np.abs(np.asarray(interpax.interp1d(q, x, f, "cubic2", period=period)) - true(q)).max()
print(f"cubic2: slope at the seam {slope:.3f}, largest error {error:.3f}")
print(f"SciPy's: slope at the seam {scipy(0.0, 1):.3f}, largest error {np.abs(scipy(q) - true(q)).max():.3f}")
own = np.asarray(interpax.CubicSpline(*around, bc_type="periodic")(q))
print(f"interpax's CubicSpline is SciPy's: {np.abs(own - scipy(q)).max() < 1e-12}")
values = [float(interpax.interp1d(1.0, x, f, **options)) for options in ({}, {"derx": 1}, {"derivative": 1})]
print(f"an unknown option is taken, and changes nothing: {values[0] == values[1] != values[2]}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
linear: begun three samples later it moves by 0.000
cubic: begun three samples later it moves by 0.000
monotonic: begun three samples later it moves by 0.000
cubic2: begun three samples later it moves by 0.012
akima: begun three samples later it moves by 0.031
cubic2: slope at the seam 0.834, largest error 0.020
SciPy's: slope at the seam 1.000, largest error 0.006
interpax's CubicSpline is SciPy's: True
an unknown option is taken, and changes nothing: True
SEEN
echo "as seen"
