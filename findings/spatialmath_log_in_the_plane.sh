#!/usr/bin/env bash
# spatialmath-python 1.1.18, the logarithm of a rotation or of a pose in the plane, trlog2(T), SO2.log() and SE2.log():
# beyond a quarter turn it is that of another pose. Its exponential is not the pose one began with.
# - The angle is the arc tangent of sine / cosine, so it lies between -90 and 90 degrees, whatever the angle was: 100
#   degrees are read as -80. The axes of the pose that comes out point the opposite way.
# - So the translational part is wrong, too, in length and direction.
# - A half turn about the origin is read as no turn at all.
# - Twist2(pose) and SE2.Twist2() use it, and so does the product of two Twist2: two turns by 60 degrees are -60.
# - Next to it, Twist2(pose).pole, "a point on the twist axis", is the centre of the turn times the angle in radians,
#   also below a quarter turn: the result is divided by the angle, and should be divided by its square. It is right for
#   twists of angle 1 only.
# In space trlog and SE3.log() are right, and so is the angle of SE2.theta() and tr2xyt. trexp2 is right. Examples and
# tests stay below a quarter turn. The line is theta = math.atan(st / ct), twice, in trlog2 of
# spatialmath/base/transforms2d.py, where it should be atan2. No issue on either was found.
#
# Seen on 2026-11-29, with SciPy 1.17.1's expm.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "spatialmath-python==1.1.18"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
from scipy.linalg import expm
from spatialmath import SE2, SE3, SO2, Twist2


def row(numbers, digits=2):
    return " ".join(f"{round(float(number), digits) + 0.0:.{digits}f}" for number in np.ravel(numbers))


print("turn: SO2.log, SE2.log; largest entry of exp(log(T)) - T in SO2, SE2, and SE3 about z; pole; what stays")
for degrees in (30, 89, 91, 100, 135, 170, -100):
    angle = np.deg2rad(degrees)
    turn, pose, space = SO2(angle), SE2(3, 4, angle), SE3(3, 4, 0) * SE3.Rz(angle)
    logs = [turn.log(), pose.log(), space.log()]
    read = [float(np.rad2deg(log[1, 0])) for log in logs[:2]]
    off = [np.abs(expm(log) - whole.A).max() for log, whole in zip(logs, (turn, pose, space))]
    centre = np.linalg.solve(np.eye(2) - turn.A, pose.t)
    print(f"{degrees}: {row(read, 1)}; {row(off)}; {row(Twist2(pose).pole)}; {row(centre)}")

print("angle of the same pose by theta():", row(np.rad2deg(SE2(3, 4, np.deg2rad(100)).theta()), 1))
sixty = Twist2(SE2(0, 0, np.deg2rad(60)))
print("two turns by 60 degrees about the origin:", row(np.rad2deg((sixty * sixty).S), 1))
print("a half turn about the origin:", row(SE2(0, 0, np.pi).log(twist=True)))
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
turn: SO2.log, SE2.log; largest entry of exp(log(T)) - T in SO2, SE2, and SE3 about z; pole; what stays
30: 30.0 30.0; 0.00 0.00 0.00; -3.12 3.98; -5.96 7.60
89: 89.0 89.0; 0.00 0.00 0.00; -0.83 5.48; -0.54 3.53
91: -89.0 -89.0; 2.00 6.93 0.00; -0.72 5.40; -0.47 3.47
100: -80.0 -80.0; 1.97 6.36 0.00; -0.25 4.55; -0.18 3.26
135: -45.0 -45.0; 1.41 4.66 0.00; 0.53 2.06; 0.67 2.62
170: -10.0 -10.0; 1.97 3.74 0.00; 0.23 0.37; 1.33 2.13
-100: 80.0 80.0; 1.97 6.52 0.00; 4.44 1.04; 3.18 0.74
angle of the same pose by theta(): 100.0
two turns by 60 degrees about the origin: 0.0 0.0 -60.0
a half turn about the origin: 0.00 0.00 0.00
SEEN
echo "as seen"
