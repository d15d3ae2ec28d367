#!/usr/bin/env bash
# pyvips 3.2.0 with libvips 8.18.7 (pyvips-binary 8.18.7), the interpolators of mapim, affine, similarity and rotate:
# - "nearest" is not the nearest pixel, but the one at the whole part of the coordinate, while all others have the
#   middle of a pixel at a whole number. So a mask that is warped with "nearest" lies off the picture that is warped
#   with "bilinear", by half a pixel along each axis in the mean. By a shift of 0.75 to the left the picture moves by
#   0.75 and the mask by 0; to the right the mask moves by 1, whatever the fraction. A mask that is turned lies 0.7
#   pixels off. With half a pixel added to the coordinates of mapim, for "nearest" alone, they agree.
# - "bicubic" reads at 64 places between two pixels, by a table, in pictures of floats, too. The other interpolators
#   read where they are asked to. So as a function of its coordinates it is a staircase, and differences with a small
#   step are 0.
# libvips' issue 2913, open, shows what the first does to pixel art that is turned, and does not name the half pixel. On
# the second no issue was found. The documentation calls the first nearest-neighbour interpolation.
#
# Seen on 2026-11-28, float32. Each row of the picture holds the numbers of its columns.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "pyvips==3.2.0" "pyvips-binary==8.18.7"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import pyvips

KINDS = {name: pyvips.Interpolate.new(name) for name in ("nearest", "bilinear", "bicubic", "lbb", "nohalo")}
columns = pyvips.Image.new_from_array(np.tile(np.arange(12, dtype=np.float32), (12, 1)))


def read(image, places, name):
    index = np.stack([np.asarray(places, np.float32), np.full(len(places), 5, np.float32)], axis=-1)[None]
    return image.mapim(pyvips.Image.new_from_array(index), interpolate=KINDS[name]).numpy().ravel()


def shown(numbers):
    return " ".join(f"{round(float(number), 2) + 0:g}" for number in numbers)


places = [4, 4.25, 4.4, 4.6, 4.75, 4.99, 5]
print("columns at", shown(places))
for name in KINDS:
    print(f"  {name}: {shown(read(columns, places, name))}")
print(f"  nearest, half a pixel added: {shown(read(columns, np.add(places, 0.5), 'nearest'))}")

for shift in (-0.75, -0.25, 0.25, 0.75):
    found = []
    for name, kind in KINDS.items():
        moved = columns.affine([1, 0, 0, 1], interpolate=kind, odx=shift, oarea=[0, 0, 12, 12]).numpy()
        found.append(f"{name} {shown([5 - moved[5, 5]])}")
    print(f"a shift by {shift:g} moves by {', '.join(found)}")

y, x = np.mgrid[:64, :64].astype(np.float32)
spot = pyvips.Image.new_from_array(np.clip(20 - np.hypot(x - 31.5, y - 31.5), 0, 1).astype(np.float32))
for angle in (10, 60, 130, 200, 310):
    centres = []
    for name in ("bilinear", "nearest"):
        turned = spot.rotate(angle, interpolate=KINDS[name]).numpy()
        weights = turned / turned.sum()
        centres.append([(weights.sum(axis=axis) * np.arange(weights.shape[1 - axis])).sum() for axis in (0, 1)])
    off = np.subtract(centres[1], centres[0])
    print(f"a spot turned by {angle} degrees: nearest lies {shown(off)} pixels off bilinear, {np.hypot(*off):.1f}")

single = pyvips.Image.new_from_array((np.tile(np.arange(12) == 4, (12, 1)) * 1000).astype(np.float32))
between = np.arange(1, 1000) / 1000 + 4
for name in list(KINDS)[1:]:
    print(f"{name} has {len(np.unique(read(single, between, name)))} values at 999 places between two pixels;", end=" ")
    slope = np.subtract(*read(single, [4.5003, 4.4997], name)) / 0.0006
    print(f"slope amid, by differences, {slope:.0f}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
columns at 4 4.25 4.4 4.6 4.75 4.99 5
  nearest: 4 4 4 4 4 4 5
  bilinear: 4 4.25 4.4 4.6 4.75 4.99 5
  bicubic: 4 4.25 4.41 4.59 4.75 4.98 5
  lbb: 4 4.25 4.4 4.6 4.75 4.99 5
  nohalo: 4 4.25 4.4 4.6 4.75 4.99 5
  nearest, half a pixel added: 4 4 4 5 5 5 5
a shift by -0.75 moves by nearest 0, bilinear -0.75, bicubic -0.75, lbb -0.75, nohalo -0.75
a shift by -0.25 moves by nearest 0, bilinear -0.25, bicubic -0.25, lbb -0.25, nohalo -0.25
a shift by 0.25 moves by nearest 1, bilinear 0.25, bicubic 0.25, lbb 0.25, nohalo 0.25
a shift by 0.75 moves by nearest 1, bilinear 0.75, bicubic 0.75, lbb 0.75, nohalo 0.75
a spot turned by 10 degrees: nearest lies 0.4 0.59 pixels off bilinear, 0.7
a spot turned by 60 degrees: nearest lies -0.24 0.66 pixels off bilinear, 0.7
a spot turned by 130 degrees: nearest lies -0.7 0.04 pixels off bilinear, 0.7
a spot turned by 200 degrees: nearest lies -0.27 -0.62 pixels off bilinear, 0.7
a spot turned by 310 degrees: nearest lies 0.7 -0.04 pixels off bilinear, 0.7
bilinear has 999 values at 999 places between two pixels; slope amid, by differences, -1000
bicubic has 65 values at 999 places between two pixels; slope amid, by differences, 0
lbb has 999 values at 999 places between two pixels; slope amid, by differences, -1500
nohalo has 999 values at 999 places between two pixels; slope amid, by differences, -1000
SEEN
echo "as seen"
