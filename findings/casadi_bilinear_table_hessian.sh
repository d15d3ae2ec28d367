#!/usr/bin/env bash
# CasADi 3.8.2, interpolant(..., "linear", ...) of two or more axes: all of its second derivatives are 0. The
# interpolation is multilinear, so in a cell it is a + b x + c y + d x y, with the mixed derivative d. The gradient is
# right and depends on y and x; hessian, and jacobian of that gradient, say that it does not. Nothing is said. With the
# option inline=True, which should only be another way to compute the same, the Hessian is right, and so is the one of
# "bspline". Where the table's curvature matters, a step of Newton's is another step then: below, rootfinder "newton"
# does not find the only stationary point of a quadratic, where it is there in one step with inline=True. Below is the
# table of x y. The cause is LinearInterpolantJac::get_jacobian, in casadi/solvers/linear_interpolant.cpp: it takes the
# Jacobian of a function that returns zeros, which is true of one axis. No issue on it was found. That the derivative
# with respect to the table's values is 0 without inline=True is documented; this is not.
#
# Seen on 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "casadi==3.8.2"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import casadi as ca
import numpy as np

places = [-3.0, -2, -1, 0, 1, 2, 3]
table = np.outer(places, places).ravel(order="F")
at, step = np.array([0.5, 0.25]), 1e-4
for kind, inline in (("linear", False), ("linear", True), ("bspline", False)):
    f = ca.interpolant("f", kind, [places, places], table, {"inline": inline})
    x = ca.MX.sym("x", 2)
    gradient = ca.Function("gradient", [x], [ca.gradient(f(x), x)])
    moved = [(gradient(at + move) - gradient(at - move)) / (2 * step) for move in step * np.eye(2)]
    hessian = ca.Function("hessian", [x], [ca.hessian(f(x), x)[0]])(at)
    print(f"{kind}, inline={inline}: gradient {np.array(gradient(at)).round(3).ravel().tolist()}", end=", ")
    for name, matrix in (("its differences", ca.horzcat(*moved)), ("hessian", hessian)):
        print(name, (np.array(matrix).round(3) + 0.0).tolist(), end="\n" if name == "hessian" else ", ")
    slope = ca.gradient(4 * f(x) + ca.sumsqr(x) - x[0], x)
    newton = ca.rootfinder("newton", "newton", {"x": x, "g": slope}, {"error_on_fail": False})
    found = np.array(newton(x0=[0.3, 0.3])["x"]).ravel()
    left = np.array(ca.Function("slope", [x], [slope])(found)).ravel()
    print(f"  Newton: success is {newton.stats()['success']}, slope there is 0: {bool(np.abs(left).max() < 1e-6)}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
linear, inline=False: gradient [0.25, 0.5], its differences [[0.0, 1.0], [1.0, 0.0]], hessian [[0.0, 0.0], [0.0, 0.0]]
  Newton: success is False, slope there is 0: False
linear, inline=True: gradient [0.25, 0.5], its differences [[0.0, 1.0], [1.0, 0.0]], hessian [[0.0, 1.0], [1.0, 0.0]]
  Newton: success is True, slope there is 0: True
bspline, inline=False: gradient [0.25, 0.5], its differences [[0.0, 1.0], [1.0, 0.0]], hessian [[0.0, 1.0], [1.0, 0.0]]
  Newton: success is True, slope there is 0: True
SEEN
echo "as seen"
