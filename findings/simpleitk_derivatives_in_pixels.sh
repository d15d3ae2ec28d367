#!/usr/bin/env bash
# SimpleITK 2.5.7 (ITK 5.4): its filters take the derivative of one image, and do not mean the same by it.
# - Gradient, GradientRecursiveGaussian, Laplacian and LaplacianRecursiveGaussian: per millimetre, and per its square.
# - Derivative, with useImageSpacing, its default: the first order is per millimetre, and the second one, too: it is divided
#   by the spacing once, where it should be twice.
# - RecursiveGaussian takes its sigma in millimetres, and gives both orders per pixel.
# - DiscreteGaussianDerivative with useImageSpacing, its default: likewise, and the odd orders have the wrong sign. With the
#   default maximumError of 0.01 all orders are 3 to 10 % too small; with 0.00001 that is gone, and the rest stays.
# At a spacing of 1 mm nothing is seen but the sign and the 6 %. Who puts two of them together, a gradient and a Hessian for
# a step of Newton's, or checks one by the other, is off by powers of the spacing.
# The sign is known: SimpleITK's issue 2144 and ITK's 6684 (Q2). The documentation says nothing on the unit of the results.
#
# Seen on 2026-11-28, float64, in the middle of 41 x 41 pixels: x, and x^2 / 2, where x is in pixels.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "SimpleITK==2.5.7"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import numpy as np
import SimpleITK as sitk

FIRST, SECOND = sitk.RecursiveGaussianImageFilter.FirstOrder, sitk.RecursiveGaussianImageFilter.SecondOrder


def image(row, spacing):
    picture = sitk.GetImageFromArray(np.tile(row, (41, 1)))
    picture.SetSpacing((spacing, spacing))
    return picture


def discrete(picture, order, error=0.01):
    found = sitk.DiscreteGaussianDerivative(picture, variance=[1.0, 1.0], order=[order, 0], maximumError=error)
    return found[20, 20]


x = np.arange(41.0) - 20
filters = {
    "slope": {
        "Gradient": lambda picture: sitk.Gradient(picture)[20, 20][0],
        "GradientRecursiveGaussian": lambda picture: sitk.GradientRecursiveGaussian(picture, 1.0)[20, 20][0],
        "Derivative": lambda picture: sitk.Derivative(picture, 0, 1)[20, 20],
        "RecursiveGaussian": lambda picture: sitk.RecursiveGaussian(picture, 1.0, False, FIRST, 0)[20, 20],
        "DiscreteGaussianDerivative": lambda picture: discrete(picture, 1),
        "DiscreteGaussianDerivative, 1e-5": lambda picture: discrete(picture, 1, 1e-5),
    },
    "curvature": {
        "Laplacian": lambda picture: sitk.Laplacian(picture)[20, 20],
        "LaplacianRecursiveGaussian": lambda picture: sitk.LaplacianRecursiveGaussian(picture, 1.0)[20, 20],
        "Derivative": lambda picture: sitk.Derivative(picture, 0, 2)[20, 20],
        "RecursiveGaussian": lambda picture: sitk.RecursiveGaussian(picture, 1.0, False, SECOND, 0)[20, 20],
        "DiscreteGaussianDerivative": lambda picture: discrete(picture, 2),
        "DiscreteGaussianDerivative, 1e-5": lambda picture: discrete(picture, 2, 1e-5),
    },
}
SPACINGS = 1.0, 2.0, 0.5
for title, row, power in (("slope", x, 1), ("curvature", x**2 / 2, 2)):
    print(f"{title}, where a pixel has 1, 2 and 0.5 mm:", *(f"{spacing**-power:.2f}" for spacing in SPACINGS))
    for name, derivative in filters[title].items():
        print(f"  {name}:", *(f"{derivative(image(row, spacing)):.2f}" for spacing in SPACINGS))
PYTHON
diff "$work/seen" - <<'SEEN'
slope, where a pixel has 1, 2 and 0.5 mm: 1.00 0.50 2.00
  Gradient: 1.00 0.50 2.00
  GradientRecursiveGaussian: 1.00 0.50 2.00
  Derivative: 1.00 0.50 2.00
  RecursiveGaussian: 1.00 1.00 1.00
  DiscreteGaussianDerivative: -0.94 -0.97 -0.90
  DiscreteGaussianDerivative, 1e-5: -1.00 -1.00 -1.00
curvature, where a pixel has 1, 2 and 0.5 mm: 1.00 0.25 4.00
  Laplacian: 1.00 0.25 4.00
  LaplacianRecursiveGaussian: 1.00 0.25 4.00
  Derivative: 1.00 0.50 2.00
  RecursiveGaussian: 1.00 1.00 1.00
  DiscreteGaussianDerivative: 0.94 0.97 0.90
  DiscreteGaussianDerivative, 1e-5: 1.00 1.00 1.00
SEEN
echo "as seen"
