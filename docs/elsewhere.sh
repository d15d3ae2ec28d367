#!/usr/bin/env bash
# Runs the libraries that docs/elsewhere.md compares with, in the versions that it states, and compares what they give
# with the record in tests/elsewhere.json. Needs about 5 GB of disk, and some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0" "onnx==1.23.2" "paddlepaddle==3.3.1" \
    "keras==3.15.1" "monai==1.6.1" "opencv-contrib-python-headless==5.0.0.93" "scikit-image==0.26.0" "scipy==1.17.1" \
    "kornia==0.9.0" "SimpleITK==2.5.7"
PYTHONPATH=tests "$work/venv/bin/python" -m elsewhere
